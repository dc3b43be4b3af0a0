"""Jensen-Shannon divergence between the rows of two stacks of distributions, as a cost matrix."""

from __future__ import annotations

import numpy as np

TINY = np.float32(1e-30)  # smaller values count as 0: log needs no branch, and denormal numbers are ten times slower


def jensen_shannon(p: np.ndarray, q: np.ndarray, memory: int = 1 << 20) -> np.ndarray:
    """Divergences [n, m] float32, in nats, of each row of p [n, k] from each row of q [m, k]; 0 to log 2.

    JS(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2 with entropies H (Lin 1991, eq. 4.1).
    memory: bytes of a block of mixtures [rows, m, k]; never fewer than one row.
    """
    p, q = _distributions(p, "p"), _distributions(q, "q")
    if p.shape[1] != q.shape[1]:
        raise ValueError(f"jensen_shannon: p has {p.shape[1]} columns and q has {q.shape[1]}; they must be equal.")
    of_p, of_q = _entropy(p), _entropy(q)
    half_p, half_q = p / 2, q / 2
    out = np.empty((len(p), len(q)), np.float32)
    # The mixtures are computed by blocks of columns as well, so that they stay in the cache.
    rows, columns = _tiles(*out.shape, memory // (p.itemsize * p.shape[1]))
    for i in range(0, len(p), rows):
        for j in range(0, len(q), columns):
            mixture = half_p[i : i + rows, None] + half_q[None, j : j + columns]
            out[i : i + rows, j : j + columns] = _entropy(mixture)
    out -= of_p[:, None] / 2
    out -= of_q / 2
    return np.maximum(out, 0, out=out)  # rounding can leave a divergence from itself slightly below 0


def _tiles(n: int, m: int, size: int) -> tuple[int, int]:
    """(rows, columns) of a tile of at most `size` entries, as many columns as fit, at least one of each."""
    columns = min(m, max(1, size))
    return min(n, max(1, size // columns)), columns


def _entropy(p: np.ndarray) -> np.ndarray:
    """-sum p log p over the last axis, in nats."""
    return -np.einsum("...k,...k->...", p, np.log(np.maximum(p, TINY)))


def _distributions(p: np.ndarray, name: str) -> np.ndarray:
    p = np.asarray(p, np.float32)
    if p.ndim != 2 or 0 in p.shape or not (p >= 0).all() or not np.allclose(p.sum(1), 1, atol=1e-3):
        raise ValueError(f"jensen_shannon: expected rows of {name} that are distributions, not negative, with sum 1.")
    return np.where(p < TINY, np.float32(0), p)
