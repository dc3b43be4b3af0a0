"""Checks of a method's input: clouds of numbers, and pairs of their rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ngw.errors import InputError
from ngw.io.numbers import numbers

SMALLEST = 1e-36  # spread: float32 loses its digits below 1e-38
BLOCK = 1 << 14  # rows that are read at a time
ROUNDED = 1e-2  # share of the spread that float32 can round away: 1 in 10,000 of its square
LARGEST = 1e36  # float32 ends at 3.4e38, and the distances of rows to their centre must stay below it


def blocks(n: int) -> list[slice]:
    """The rows of a cloud of n, some at a time, so that no whole copy in float64 is needed."""
    return [slice(i, min(i + BLOCK, n)) for i in range(0, n, BLOCK)]


class Computed:
    """Rows [n, e] computed of a cloud's [n, d] (or of their numbers [n]), each by itself, when they are asked for.

    make: [k, d] -> [k, e].
    """

    def __init__(self, z: Cloud, make: Callable[[np.ndarray], np.ndarray]) -> None:
        self.z, self.make = z, make

    def __len__(self) -> int:
        return len(self.z)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self[:1].shape[1]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Of a slice, or of an index array; some at a time, so that what lies between is never whole."""
        count = len(range(len(self))[rows]) if isinstance(rows, slice) else len(rows)
        if count <= BLOCK:
            return self.make(self.z[rows])
        chosen, row = np.arange(len(self))[rows], self[:1]
        whole = np.empty((count, row.shape[1]), row.dtype)
        for part in blocks(count):
            whole[part] = self.make(self.z[chosen[part]])
        return whole


Cloud = np.ndarray | Computed


def rounded_once(z: np.ndarray, make: Callable[[np.ndarray], np.ndarray], dtype: np.dtype) -> np.ndarray:
    """What make gives of the rows z [n, d], computed in float64, some rows at a time: [n, e], of dtype.

    A float32 product's last digit depends on a row's place among the others.
    """
    return Computed(z, lambda rows: make(rows.astype(np.float64)).astype(dtype))[:]


def check_cloud(x: Any, name: str, width: int | None = None) -> np.ndarray:
    """A cloud as float32 [n, d]: an array, lists, a data frame or a tensor, of whole or real numbers or booleans.

    Refuses other shapes, another width than `width`, NaN, infinity and what float32 can't hold: numbers too large, and,
    where no width is given, those so far from 0 that their differences are lost.
    """
    given = numbers(x, name)
    if given.ndim != 2 or 0 in given.shape:
        raise InputError(f"{name}: expected a cloud [n, d], found shape {list(given.shape)}; pass one row per sample.")
    if width is not None and given.shape[1] != width:
        raise InputError(
            f"{name}: expected rows of {width} features, as in fit, found {given.shape[1]}; use one encoder."
        )
    with np.errstate(over="ignore"):  # what overflows is refused below
        x = given.astype(np.float32, copy=False)
    fits = np.concatenate([(np.abs(x[rows]) <= LARGEST).all(1) for rows in blocks(len(x))])
    if not fits.all():
        row = int((~fits).argmax())
        if np.isfinite(given[row]).all():
            raise InputError(
                f"{name}: expected features up to {LARGEST:g}, found larger ones in row {row}; scale them."
            )
        raise InputError(f"{name}: expected finite features, found NaN or infinity in row {row}; mend it.")
    if width is None and given.dtype.itemsize > x.itemsize:
        _check_rounding(given, x, name)
    return x


def _check_rounding(given: np.ndarray, x: np.ndarray, name: str) -> None:
    """Refuse rows [n, d] that differ by little more than what float32 rounds away, x being given in float32."""
    mean = given.mean(0, dtype=np.float64)
    shift, lost, spread = mean - x.mean(0, dtype=np.float64), 0.0, 0.0
    for rows in blocks(len(x)):
        lost += np.square(given[rows] - x[rows].astype(np.float64) - shift).sum(dtype=np.float64)
        spread += np.square(given[rows] - mean).sum(dtype=np.float64)
    if ROUNDED**2 * spread < lost and not (given == given[0]).all():  # equal rows have an error of their own
        raise InputError(
            f"{name}: expected features whose differences float32 can hold, found ones that it rounds by "
            f"{np.sqrt(lost / spread):.0%} of their spread; subtract each column's mean."
        )


def columns(x: Any) -> list[str] | None:
    """The names of a data frame's columns; None where there are none, or only numbers."""
    names = list(getattr(x, "columns", ()))
    return names if names and all(isinstance(name, str) for name in names) else None


def check_columns(x: Any, fitted: list[str] | None, name: str) -> None:
    """Check that a data frame's columns have the order of the one in fit, where both have names."""
    names = columns(x)
    for i, (here, there) in enumerate(zip(names or (), fitted or (), strict=False)):
        if here != there:
            raise InputError(
                f"{name}: expected the columns of the data frame in fit, found {here!r} where {there!r} was, column "
                f"{i}; bring them into that order."
            )


def check_pairs(pairs: Any, n: int, m: int) -> np.ndarray:
    """Known pairs as int64 [k, 2]: (row of x, row of y). A 1-D index array means x[i] belongs to y[i]."""
    pairs = numbers([] if pairs is None else pairs, "pairs")
    if pairs.size == 0:
        return np.empty((0, 2), np.int64)
    if not np.issubdtype(pairs.dtype, np.integer):
        raise InputError(f"pairs: expected whole numbers, found {pairs.dtype}; pass row indices, not a mask.")
    pairs = pairs.astype(np.int64)
    if pairs.ndim == 1:
        pairs = np.stack([pairs, pairs], axis=1)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise InputError(f"pairs: expected row indices [k] or [k, 2], found shape {list(pairs.shape)}; reshape it.")
    if len(pairs) > max(n, m):
        raise InputError(
            f"pairs: expected at most {max(n, m)} (the larger cloud's rows), found {len(pairs)}; pass fewer."
        )
    outside = (pairs < 0) | (pairs >= [n, m])
    if outside.any():
        k = int(outside.any(1).argmax())
        raise InputError(
            f"pairs: expected rows below {n} and {m}, the clouds' sizes, found {pairs[k].tolist()} as pair {k}; "
            "index each cloud's own rows."
        )
    if len(np.unique(pairs, axis=0)) < len(pairs):
        raise InputError("pairs: expected each pair once, found repeated ones; drop the duplicates.")
    return pairs


def centre_and_scale(x: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Centre [d] and scale [] (root mean square distance to it)."""
    mean = x.mean(0, dtype=np.float64)
    scale = np.sqrt(np.concatenate([((x[rows] - mean) ** 2).sum(1) for rows in blocks(len(x))]).mean())
    if (x == x[0]).all():
        rows = f"{len(x)} equal rows" if len(x) > 1 else "1 sample"
        raise InputError(f"{name}: expected features that differ, found {rows}; check the encoder.")
    if scale < SMALLEST:
        raise InputError(f"{name}: expected a spread of {SMALLEST:g} or more, found {scale:.1e}; scale the features.")
    return mean.astype(np.float32), np.array(scale, np.float32)
