"""The interface of every fusion: options, checked without torch, and `network`, which holds the weights."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ngw.features.basis import Tokens
from ngw.options import check, option

if TYPE_CHECKING:
    from torch import Tensor

    from ngw.fusion._alignment import Maps
    from ngw.fusion._network import Network


class Row:
    """A model that answers questions, one row of the table, without torch. Side "a" has images, side "b" texts.

    A subclass declares its options as fields of a dataclass (`ngw.options`), or stores and checks them in `__init__`.
    """

    role: str = "baseline"  # in the tables: method, baseline or control
    sides: ClassVar[tuple[str, ...]] = ("a", "b")  # the sides that it reads; none: nothing is trained
    exchanges: ClassVar[bool] = False  # whether a side takes anything from the other
    attends: ClassVar[bool] = False  # whether it does so by attention
    raw: ClassVar[bool] = False  # whether it reads raw images and questions instead of tokens
    aligned: bool = False  # whether sides exchange through T_AB and T_BA
    pooled: bool = False  # whether each side is first averaged to one token
    alpha: float = 0.5  # share of a side's own tokens in the exchange, before training
    alpha_b: float | None = None  # the same for the questions' side; None: as for the images
    tune: str = "frozen"  # whether its maps, if it has some, are "frozen" or trained ("fine")
    compares: bool = False  # whether an image's similarity to texts, by the aligner, adds to answers' scores
    reference: ClassVar[str] = "proposal 2.4"

    def __post_init__(self) -> None:
        """Refuse options outside their bounds; a subclass adds checks across options."""
        check(self)

    def network(self, a: Tokens, b: Tokens, maps: Maps | None = None, seed: int = 0) -> Network:
        """The torch module that answers."""
        raise TypeError(f"{type(self).__name__} must define network")

    def params(self) -> dict[str, Any]:
        """The options, by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}


@dataclass(eq=False)
class Fusion(Row):
    """Two sides' tokens to one vector (proposal 2.4).

    A subclass says which sides it reads, and in `attend_to` what a side takes from the other.
    """

    dims: int = option(256, least=1)  # d, to which each side is projected
    hidden: int = option(512, least=1)  # of the feed-forward network
    width: int = option(512, least=1)  # of its output h

    def network(self, a: Tokens, b: Tokens, maps: Maps | None = None, seed: int = 0) -> Network:
        """The torch module: forward(z_a [b, t, d_a], mask_a [b, t], z_b [b, s, d_b], mask_b [b, s]) -> h [b, width].

        maps: from `ngw.fusion.align`, copied; needed if `aligned`, else None.  seed: of all initial weights.
        """
        from ngw.fusion._network import Network

        return Network(self, a, b, maps, seed)

    def attend_to(self, q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
        """What each token q [b, t, d] takes from the other side's k [b, s, d], mask [b, s]: [b, t, d] or [b, 1, d]."""
        raise TypeError(f"{type(self).__name__} must define attend_to")
