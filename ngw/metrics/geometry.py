"""Nearest neighbours by cosine, ties shared, and checks of two paired clouds."""

from __future__ import annotations

import numpy as np


def cosine_neighbours(x: np.ndarray, k: int) -> np.ndarray:
    """`neighbours` in a cloud of unit float64 rows x [n, d], by cosine; [n, n]."""
    scores = x @ x.T
    np.fill_diagonal(scores, -np.inf)  # a row isn't its own neighbour
    return neighbours(scores, k, (x.shape[1] + 2) * np.finfo(np.float64).eps)  # of two dot products of unit vectors


def neighbours(scores: np.ndarray, k: int, slack: float) -> np.ndarray:
    """[rows, n] in [0, 1]: whether each column is among a row's k highest scores; each row sums to k.

    Scores that differ by at most `slack` tie; those that tie for the last places share them in equal parts.
    """
    last = np.partition(scores, -k, axis=1)[:, -k, None]
    above = scores > last + slack
    equal = (scores >= last - slack) ^ above
    places = k - above.sum(axis=1, keepdims=True)
    return above + equal * (places / equal.sum(axis=1, keepdims=True))


def paired(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two float64 matrices with equally many rows, two or more, all finite."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 2:
        raise ValueError(f"expected two matrices with the same number of rows, 2 or more; found {x.shape}, {y.shape}.")
    for name, cloud in (("x", x), ("y", y)):
        bad = np.flatnonzero(~np.isfinite(cloud).all(axis=1))
        if bad.size:
            raise ValueError(f"{name}: row {bad[0]} isn't finite ({bad.size} of {len(cloud)} rows are bad).")
    return x, y


def unit_rows(x: np.ndarray, name: str) -> np.ndarray:
    """Rows scaled to length 1."""
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    if not norms.all():
        raise ValueError(f"{name}: row {np.flatnonzero(norms == 0)[0]} is zero and has no cosine.")
    return x / norms
