"""What every fusion offers: options that are checked without torch, and `network`, which holds the weights."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from ngw.errors import InputError
from ngw.methods.base import at_least

if TYPE_CHECKING:
    from torch import Tensor

    from ngw.fusion._alignment import Maps
    from ngw.fusion._network import Network


@dataclass(frozen=True)
class Tokens:
    """One side's tokens: their width, centre [width] (null: zero) and scale, the root mean square distance to it.

    The side's projection starts from them, so that projected tokens have coordinates of mean 0 and variance 1.
    """

    width: int
    mean: np.ndarray | None = None
    scale: float = 1.0

    @classmethod
    def of(cls, z: np.ndarray, mask: np.ndarray) -> Self:
        """Of tokens z [n, t, d] where mask [n, t]; a few thousand items are enough."""
        rows = z[mask].astype(np.float32)
        if not len(rows):
            raise InputError(
                f"tokens: expected some that the mask keeps, found none in {list(z.shape)}; mend the mask."
            )
        mean = rows.mean(0, dtype=np.float64)
        scale = float(np.sqrt(((rows - mean) ** 2).sum(1).mean()))
        return cls(z.shape[-1], mean, scale or 1.0)


@dataclass(frozen=True)
class Basis:
    """How kept tokens c [p] stand to the features that maps are fitted on: z = (mean + axes c) / unit.

    axes [d, p] orthonormal, mean [d]: of a PCA of the tokens, or the identity and 0.  unit: from `token_unit`.
    """

    axes: np.ndarray
    mean: np.ndarray
    unit: float = 1.0

    def __post_init__(self) -> None:
        if self.axes.ndim != 2 or self.mean.shape != self.axes.shape[:1]:
            found = f"{list(self.axes.shape)} and {list(self.mean.shape)}"
            raise InputError(f"basis: expected axes [d, p] and mean [d], found {found}; pass one token space's.")
        gram = self.axes.T.astype(np.float64) @ self.axes
        if not np.allclose(gram, np.eye(len(gram)), atol=1e-3):
            raise InputError("basis: expected orthonormal columns, found others; take them from a PCA.")
        if not self.unit > 0:
            raise InputError(f"basis: expected a positive unit, found {self.unit}; take it from token_unit.")


def token_unit(z: np.ndarray, mask: np.ndarray, pooled: np.ndarray) -> float:
    """How many times longer tokens are than pooled features: least squares of tokens' means on pooled, z [n, t, d].

    1 where pooled is the mean (EfficientNet), about 6 where it is the mean at unit length (MiniLM). Maps are fitted on
    pooled features; without the unit they would carry tokens six times too far.
    """
    count = np.maximum(mask.sum(1, keepdims=True), 1)
    mean = np.einsum("ntd,nt->nd", z.astype(np.float32), mask.astype(np.float32)) / count  # [n, d]
    found = float((mean * pooled).sum() / (pooled**2).sum())
    if not found > 0:
        raise InputError(
            f"tokens: expected means that point where pooled features do, found a gain of {found:.3g}; "
            "take an encoder that pools by the mean, or fit maps on the tokens' means."
        )
    return found


class Fusion:
    """Two sides' tokens to one vector (proposal 2.4). Side "a" holds images, side "b" texts.

    dims: d, to which each side is projected.  hidden: of the feed-forward network.  width: of its output h.
    A subclass says which sides it reads, and in `look` what a side takes from the other.
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

    def look(self, q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
        """What each token q [b, t, d] takes from the other side's k [b, s, d], mask [b, s]: [b, t, d] or [b, 1, d]."""
        raise TypeError(f"{type(self).__name__} must define look")

    def params(self) -> dict[str, Any]:
        """The options, by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
