"""Hyperparameters of every method are chosen here, on pairs held out of the budget, never on test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ngw.metrics.retrieval import mean_reciprocal_rank, ranks
from ngw.seeds import rng

MANY = 500  # pairs from which one held-out fifth is enough


def folds(k: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(kept, held out) pair indices: five folds of k pairs, or one held-out fifth where there are many."""
    order = rng(seed, "selection", "folds").permutation(k)
    parts = np.array_split(order, min(5, k))
    kept = [np.concatenate([p for j, p in enumerate(parts) if j != i]) for i in range(len(parts))]
    splits = list(zip(kept, parts, strict=True))
    return splits[:1] if k >= MANY else splits


def matching(u: np.ndarray, v: np.ndarray) -> float:
    """How well row i of u finds row i of v: mean reciprocal rank, both ways."""
    i2t, t2i = ranks(u, v, np.arange(len(u)))
    return (mean_reciprocal_rank(i2t) + mean_reciprocal_rank(t2i)) / 2


def choose(
    candidates: Sequence[Any], scores: Callable[[np.ndarray, np.ndarray], Sequence[float]], k: int, seed: int,
    trials: int = 5,
) -> Any:  # fmt: skip
    """The candidate with the highest mean score over the folds of k pairs, the first of those that tie.

    scores(kept, held out): one for each candidate, since one decomposition or one training can serve many; the folds
    after the first `trials` are left out, for time's sake.  An only candidate is taken without a fit.
    """
    if len(candidates) == 1:
        return candidates[0]
    means = np.mean([scores(*split) for split in folds(k, seed)[:trials]], axis=0)
    return candidates[int(np.argmax(means))]


def withdraw(
    x: np.ndarray, y: np.ndarray, pairs: np.ndarray, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clouds without the pairs that are not kept, for a transport in which those must take no part.

    Returns (x, y, known): the kept pairs' rows first, in their order, then the rows without a pair; known [k, 2].
    """
    left, right = (
        np.concatenate([z[pairs[kept, side]], np.delete(z, pairs[:, side], axis=0)]) for side, z in enumerate((x, y))
    )
    return left, right, np.stack([np.arange(len(kept))] * 2, axis=1)
