"""What every fusion offers: options that are checked without torch, and `network`, which holds the weights."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ngw.features.basis import Tokens
from ngw.registry import at_least

if TYPE_CHECKING:
    from torch import Tensor

    from ngw.fusion._alignment import Maps
    from ngw.fusion._network import Network


class Fusion:
    """Two sides' tokens to one vector (proposal 2.4). Side "a" holds images, side "b" texts.

    dims: d, to which each side is projected.  hidden: of the feed-forward network.  width: of its output h.
    A subclass says which sides it reads, and in `attend_to` what a side takes from the other.
    """

    role: str = "baseline"  # in the tables: method, baseline or control
    sides: ClassVar[tuple[str, ...]] = ("a", "b")  # those it reads; none: nothing is trained
    exchanges: ClassVar[bool] = False  # whether a side takes anything from the other
    attends: ClassVar[bool] = False  # whether by attention
    raw: ClassVar[bool] = False  # whether it reads raw images and questions instead of tokens
    aligned: bool = False  # whether it does so through T_AB and T_BA
    pooled: bool = False  # whether each side is first averaged to one token
    alpha: float = 0.5  # of its own in what it exchanges, before training
    tune: Literal["frozen", "fine"] = "frozen"  # whether maps are trained on, where it has some
    reference: ClassVar[str] = "proposal 2.4"

    def __init__(self, dims: int = 256, hidden: int = 512, width: int = 512) -> None:
        at_least(1, dims=dims, hidden=hidden, width=width)
        self.dims, self.hidden, self.width = dims, hidden, width

    def network(self, a: Tokens, b: Tokens, maps: Maps | None = None, seed: int = 0) -> Network:
        """The torch module: forward(z_a [b, t, d_a], mask_a [b, t], z_b [b, s, d_b], mask_b [b, s]) -> h [b, width].

        maps: from `ngw.fusion.align`, copied; exactly where `aligned`.  seed: of all initial weights.
        """
        from ngw.fusion._network import Network

        return Network(self, a, b, maps, seed)

    def attend_to(self, q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
        """What each token q [b, t, d] takes from the other side's k [b, s, d], mask [b, s]: [b, t, d] or [b, 1, d]."""
        raise TypeError(f"{type(self).__name__} must define attend_to")

    def params(self) -> dict[str, Any]:
        """The options, by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
