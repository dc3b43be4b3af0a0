"""Fusion by the alphas alone: each side takes the other's mean, carried over by T_BA and T_AB; no attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ngw.fusion.cross_attention import CrossAttention

if TYPE_CHECKING:
    from torch import Tensor


class Gated(CrossAttention):
    """h_A = alpha_A z_A + (1 - alpha_A) mean of T_BA(z_B), h_B likewise: cross-attention with equal weights."""

    attends = False

    def __init__(
        self,
        dims: int = 256,
        hidden: int = 512,
        width: int = 512,
        alpha: float = 0.5,
        tune: Literal["frozen", "fine"] = "frozen",
    ) -> None:
        super().__init__(dims, hidden, width, alpha, tune)

    def attend_to(self, q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
        """The mean of the keys in mask, [b, 1, d]; 0 where there is none."""
        from ngw.fusion._network import average

        return average(k, mask)[:, None]
