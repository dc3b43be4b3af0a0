"""Hyperparameters are chosen on pairs held out of the budget, never on test."""

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


def best(candidates: Sequence[Any], score: Callable[[Any, np.ndarray, np.ndarray], float], k: int, seed: int) -> Any:
    """The candidate with the highest mean score(candidate, kept, held out) over the folds of k pairs."""
    splits = folds(k, seed)
    means = [np.mean([score(candidate, *split) for split in splits]) for candidate in candidates]
    return candidates[int(np.argmax(means))]
