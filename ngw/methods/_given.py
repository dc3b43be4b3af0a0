"""What a method is given, made less: fewer unpaired rows, or known pairs of which some, or all, are wrong."""

from __future__ import annotations

import numpy as np

from ngw.seeds import rng


def thin(n: int, known: np.ndarray, unpaired: float, pairs: int, seed: int, side: str) -> np.ndarray:
    """The rows of a cloud of n that stay, ascending: the `known` ones, and `unpaired` times `pairs` of the others.

    Each side draws by itself, so that who stays tells nothing of who belongs to whom.  The rows of a smaller `unpaired`
    are among those of a larger one; where there are too few, all stay.
    """
    others = np.setdiff1d(np.arange(n), known)
    drawn = rng(seed, "given", "unpaired", side).permutation(others)[: round(unpaired * pairs)]
    return np.union1d(known, drawn)


def place(rows: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Where each of the indices [t] stands among the ascending rows; -1 where it doesn't."""
    places = np.searchsorted(rows, indices).clip(max=len(rows) - 1)
    return np.where(rows[places] == indices, places, -1)


def exchange(pairs: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """The pairs [k, 2] with their partners permuted in one cycle: none keeps its own, as one on average else would."""
    order = stream.permutation(len(pairs))
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)
    return np.stack([pairs[:, 0], pairs[partner, 1]], axis=1)


def mislead(pairs: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """The pairs [k, 2], the share `noise` of which (two at least) have their partners permuted: none keeps its own.

    Pairs that share a row of x stand together in the order that is shifted, and the shift is as long as the longest
    such run: none gets a partner of its own row from another pair either, unless that row has more than half of them.
    """
    stream = rng(seed, "given", "noise")
    chosen = stream.permutation(len(pairs))[: max(2, round(noise * len(pairs)))]
    _, row, times = np.unique(pairs[chosen, 0], return_inverse=True, return_counts=True)
    order = chosen[np.argsort(stream.permutation(len(times))[row], kind="stable")]
    wrong = pairs.copy()
    wrong[order, 1] = pairs[np.roll(order, times.max()), 1]
    return wrong
