"""Fusion by the alphas alone: each side takes the other's mean, carried over by T_BA and T_AB; no attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ngw.fusion.base import Fusion
from ngw.options import option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(eq=False)
class Gated(Fusion):
    """h_A = alpha_A z_A + (1 - alpha_A) mean of T_BA(z_B), h_B likewise: cross-attention with equal weights."""

    role = "method"
    exchanges = aligned = True

    alpha: float = option(0.5, above=0, below=1)  # as in cross-attention, like tune
    tune: str = option("frozen", among=("frozen", "fine"))

    def attend_to(self, q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
        """The mean of the keys in mask, [b, 1, d]; 0 where there is none."""
        from ngw.fusion._network import average

        return average(k, mask)[:, None]
