"""Ablations of a method's input: fewer unpaired rows, or known pairs that are partly or all wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ngw.methods._clouds import check_cloud, check_pairs
from ngw.options import check, option
from ngw.seeds import rng


@dataclass
class Given:
    """Options that reduce or corrupt any method's input, for ablations."""

    # Number of unpaired rows that each cloud keeps, as a multiple of the known pairs; null: all of them.
    unpaired_rows: float | None = option(None, kw_only=True, least=0)
    noise: float = option(0.0, kw_only=True, least=0, most=1)  # share of the known pairs that are wrong

    def __post_init__(self) -> None:
        """Refuse options outside their bounds; a subclass adds the rules between options."""
        check(self)
        method: Any = self
        if (self.unpaired_rows is not None or self.noise) and (method.raw or method.supervision == "none"):
            raise ValueError(
                "unpaired_rows and noise are for methods that take features and known pairs, which this one doesn't"
            )

    def _given(
        self, x: Any, y: Any, pairs: Any, seed: int, truth: np.ndarray | None = None
    ) -> tuple[Any, Any, Any, np.ndarray | None]:
        """The remaining clouds, known pairs and true pairs, each pair by its rows' new positions."""
        if self.unpaired_rows is None and not self.noise:
            return x, y, pairs, truth
        method: Any = self
        x, y = check_cloud(x, "x"), check_cloud(y, "y")
        pairs = check_pairs(pairs, len(x), len(y))
        if len(pairs) < method.min_pairs:  # for `_prepare` to refuse
            return x, y, pairs, truth
        if self.noise:
            pairs = mislead(pairs, self.noise, seed)
        if self.unpaired_rows is None:
            return x, y, pairs, truth
        rows = [
            thin(len(z), known, self.unpaired_rows, len(pairs), seed, side)
            for z, known, side in zip((x, y), pairs.T, "xy", strict=True)
        ]
        pairs, truth = (
            old if old is None else np.stack([place(r, i) for r, i in zip(rows, old.T, strict=True)], axis=1)
            for old in (pairs, truth)
        )
        return x[rows[0]], y[rows[1]], pairs, truth if truth is None else truth[(truth >= 0).all(1)]


def thin(n: int, known: np.ndarray, multiple: float, pairs: int, seed: int, side: str) -> np.ndarray:
    """The rows of a cloud of n that stay, ascending: the `known` ones, and `multiple` times `pairs` of the others.

    Each side draws independently, so that the rows that stay reveal no pair.  The rows of a smaller multiple are among
    those of a larger one; where there are too few, all stay.
    """
    others = np.setdiff1d(np.arange(n), known)
    drawn = rng(seed, "given", "unpaired", side).permutation(others)[: round(multiple * pairs)]
    return np.union1d(known, drawn)


def place(rows: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """The position of each index [t] among the ascending rows; -1 where it is missing."""
    places = np.searchsorted(rows, indices).clip(max=len(rows) - 1)
    return np.where(rows[places] == indices, places, -1)


def exchange(pairs: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """The pairs [k, 2] with partners permuted in one cycle: none keeps its own; a plain permutation keeps about one."""
    order = stream.permutation(len(pairs))
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)
    return np.stack([pairs[:, 0], pairs[partner, 1]], axis=1)


def mislead(pairs: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """The pairs [k, 2]; a share `noise` of them, at least two, have their partners permuted: none keeps its own.

    The permutation is a shift along an order in which pairs that share a row of x are neighbours.  It is as long as the
    longest such run: no pair gets another partner of its own row either, unless that row has more than half of them.
    """
    stream = rng(seed, "given", "noise")
    chosen = stream.permutation(len(pairs))[: max(2, round(noise * len(pairs)))]
    _, row, times = np.unique(pairs[chosen, 0], return_inverse=True, return_counts=True)
    order = chosen[np.argsort(stream.permutation(len(times))[row], kind="stable")]
    wrong = pairs.copy()
    wrong[order, 1] = pairs[np.roll(order, times.max()), 1]
    return wrong
