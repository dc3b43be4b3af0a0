"""The space in which an encoder's tokens are kept: their centre and scale, their principal axes, and the axes' file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from ngw import io
from ngw.errors import InputError
from ngw.features.store import batches

if TYPE_CHECKING:
    from ngw.encoders import Encoder


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
            raise InputError(f"tokens: expected some inside the mask, found none in {list(z.shape)}; mend the mask.")
        mean = rows.mean(0, dtype=np.float64)
        scale = float(np.sqrt(((rows - mean) ** 2).sum(1).mean()))
        return cls(z.shape[-1], mean, scale or 1.0)


@dataclass(frozen=True)
class Basis:
    """From kept tokens c [p] to the features that maps are fitted on: z = (mean + axes c) / unit.

    axes [d, p] orthonormal, mean [d]: of a PCA of the tokens, or the identity and 0.  unit: from `token_unit`.
    """

    axes: np.ndarray
    mean: np.ndarray
    unit: float = 1.0

    def __post_init__(self) -> None:
        if self.axes.ndim != 2 or self.mean.shape != self.axes.shape[:1]:
            shapes = f"{list(self.axes.shape)} and {list(self.mean.shape)}"
            raise InputError(f"basis: expected axes [d, p] and mean [d], found {shapes}; pass one token space's.")
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
    gain = float((mean * pooled).sum() / (pooled**2).sum())
    if not gain > 0:
        raise InputError(
            f"tokens: expected means that point where pooled features do, found a gain of {gain:.3g}; "
            "take an encoder that pools by the mean, or fit maps on the tokens' means."
        )
    return gain


def fit_basis(encoder: Encoder, items: Sequence[str], dims: int | None) -> tuple[Basis, dict[str, float]]:
    """The basis in which an encoder's tokens are kept, from a few hundred items, and the variance that it explains.

    dims: the principal components of the tokens that are kept (at most their number); None: all coordinates as they
    are.  Returns also {"explained": share of the variance kept, "scale": root mean square length of a kept token}.
    """
    parts = [part for _, part in batches(encoder, items, tokens=True)]
    rows = np.concatenate([part.tokens[part.mask] for part in parts]).astype(np.float64)
    widest = max(part.mask.shape[1] for part in parts)
    z, mask = (
        np.concatenate([np.pad(a, [(0, 0), (0, widest - a.shape[1])] + [(0, 0)] * (a.ndim - 2)) for a in arrays])
        for arrays in ([part.tokens for part in parts], [part.mask for part in parts])
    )
    unit = token_unit(z, mask, np.concatenate([part.pooled for part in parts]))
    d = rows.shape[1]
    if dims is None:
        basis = Basis(np.eye(d, dtype=np.float32), np.zeros(d, np.float32), unit)
        return basis, {"explained": 1.0, "scale": float(np.sqrt((rows**2).sum(1).mean()))}
    if dims > min(rows.shape):
        raise InputError(
            f"tokens: expected at most {min(rows.shape)} dimensions, as {len(rows)} tokens of width {d} give, found "
            f"{dims}; lower tables.vqa.tokens."
        )
    mean = rows.mean(0)
    variance, axes = np.linalg.eigh(np.cov(rows - mean, rowvar=False, bias=True))
    kept = variance[::-1][:dims].sum()
    axes = np.ascontiguousarray(axes[:, ::-1][:, :dims], np.float32)
    return Basis(axes, mean.astype(np.float32), unit), {
        "explained": float(kept / variance.sum()), "scale": float(np.sqrt(kept))
    }  # fmt: skip


def write_basis(path: str | os.PathLike, basis: Basis, about: Mapping[str, float], metadata: Mapping[str, str]) -> None:
    """Write a basis and the numbers of `fit_basis` about it."""
    head = {**metadata, "unit": repr(basis.unit), **{name: repr(value) for name, value in about.items()}}
    io.write_tensors(path, {"axes": basis.axes, "mean": basis.mean}, head)


def read_basis(path: str | os.PathLike) -> tuple[Basis, dict[str, str]]:
    """What `write_basis` wrote: the basis and its metadata."""
    arrays, head = io.read_tensors(path, "a basis of tokens", "unit")
    return Basis(arrays["axes"], arrays["mean"], float(head["unit"])), head
