"""Pairs held out of the budget: their folds, how well they match, and the choice of a peer's hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ngw.errors import InputError
from ngw.features.clouds import groups
from ngw.metrics.retrieval import mean_reciprocal_rank, ranks
from ngw.seeds import rng

MANY = 500  # groups of pairs from which one held-out fifth is enough
HELD = 2000  # pairs held out of many
FEW = 10  # groups of pairs below which held-out ones say nothing


def too_few(pairs: np.ndarray) -> bool:
    """Whether the pairs [k, 2] are too few to hold out some; those that share a row count as one."""
    return len(np.unique(groups(pairs))) < FEW if len(pairs) else True


def folds(pairs: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(kept, held out) indices of the pairs [k, 2]: five folds, or, of many pairs, one with `HELD` held out at most.

    Pairs that share a row go together, so that no held-out image or caption is among the kept ones.
    Raises `InputError` where shared rows link all of them.
    """
    heads, group = np.unique(groups(pairs), return_inverse=True)  # [k], numbered in the order of first appearance
    if len(heads) < 2:
        raise InputError(
            "pairs: expected two or more that share no row, to hold out one and learn from the other, found that "
            f"shared rows link all {len(pairs)}; pass pairs of other rows too."
        )
    order = rng(seed, "selection", "folds").permutation(len(heads))
    by_group = np.argsort(np.argsort(order)[group], kind="stable")
    parts = [by_group[np.isin(group[by_group], part)] for part in np.array_split(order, min(5, len(heads)))]
    kept = [np.concatenate([p for j, p in enumerate(parts) if j != i]) for i in range(len(parts))]
    splits = list(zip(kept, parts, strict=True))
    return [(kept[0], parts[0][:HELD])] if len(heads) >= MANY else splits


def matching(u: np.ndarray, v: np.ndarray) -> float:
    """How well row i of u finds row i of v: mean reciprocal rank, both ways."""
    i2t, t2i = ranks(u, v, np.arange(len(u)))
    return (mean_reciprocal_rank(i2t) + mean_reciprocal_rank(t2i)) / 2


def standing(u: np.ndarray, v: np.ndarray, k: int) -> np.ndarray:
    """How well each of the first k rows of u and v find each other among all rows: mean of 1 / sqrt(rank), [k].

    Between the reciprocal rank, in which only the first places count, and its logarithm, in which the last ones do.
    """
    ways = []
    for a, b in ((u, v), (v, u)):
        scores = a[:k] @ b.T
        own = scores[np.arange(k), np.arange(k)][:, None]
        ways.append((0.5 + (scores > own).sum(1) + (scores == own).sum(1) / 2) ** -0.5)
    return np.mean(ways, axis=0)


def speak_against(gains: np.ndarray) -> bool:
    """Whether held-out gains [k] are below zero by more than two standard errors: less would be noise."""
    return float(np.mean(gains)) < -2 * float(np.std(gains)) / np.sqrt(len(gains))


def choose(
    candidates: Sequence[Any], scores: Callable[[np.ndarray, np.ndarray], Sequence[float]], pairs: np.ndarray,
    seed: int, trials: int = 5,
) -> Any:  # fmt: skip
    """The candidate with the highest mean score over the folds of the pairs [k, 2], the first where several tie.

    scores(kept, held out): one score per candidate, since one decomposition or one training can serve many; folds after
    the first `trials` are left out to save time.  A single candidate needs no fit.
    """
    if len(candidates) == 1:
        return candidates[0]
    means = np.mean([scores(*split) for split in folds(pairs, seed)[:trials]], axis=0)
    return candidates[int(np.argmax(means))]


def withdraw(
    x: np.ndarray, y: np.ndarray, pairs: np.ndarray, kept: np.ndarray, most: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clouds without the pairs that are not kept, for a transport in which held-out pairs must take no part.

    Returns (x, y, known): the kept pairs' rows first, in their order, then `most` of the rows without a pair, or all of
    them; known [k, 2].
    """
    left, right = (
        z[np.concatenate([known[kept], np.delete(np.arange(len(z)), known)[:most]])]
        for z, known in zip((x, y), pairs.T, strict=True)
    )
    return left, right, np.stack([np.arange(len(kept))] * 2, axis=1)
