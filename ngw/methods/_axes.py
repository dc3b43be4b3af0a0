"""Principal axes of a cloud, damped: the coordinates in which structure is compared."""

from __future__ import annotations

import numpy as np


def axes(x: np.ndarray, ridge: float, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """(to [d, r], back [r, d]) of a centred cloud x [n, d]: x @ to has unit mean square norm, r = min(dims, d, n - 1).

    Principal components, largest first, each divided by sqrt(variance + ridge * mean variance); `back` undoes it.
    """
    values, vectors = np.linalg.eigh(np.cov(x.T.astype(np.float64), bias=True).reshape(x.shape[1], -1))
    values, vectors = values[::-1].clip(0), vectors[:, ::-1]
    rank = max(1, min(x.shape[1], len(x) - 1))
    r = min(dims, rank)
    scale = np.sqrt(values[:r] + ridge * values.sum() / rank)
    scale *= np.sqrt((values[:r] / scale**2).sum())
    return (vectors[:, :r] / scale).astype(np.float32), (vectors[:, :r] * scale).T.astype(np.float32)
