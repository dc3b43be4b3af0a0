"""Orthogonal Procrustes on the known pairs: the rotation that brings x closest to y."""

from __future__ import annotations

import numpy as np

from ngw.methods.base import Method


class Procrustes(Method):
    """T_AB(x) = s x R with R' R = I on the smaller width, T_BA(y) = y R' / s. No hyperparameter.

    Source: Schoenemann 1966; s as in Gower 1975.
    """

    reference = "Schoenemann 1966"

    def __init__(self) -> None:
        pass

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        px, py = x[pairs[:, 0]], y[pairs[:, 1]]
        self._rotate(px.T @ py, float((px**2).sum()))

    def _rotate(self, cross: np.ndarray, size: float) -> None:
        """R and s of the cross-covariance x' y [d_x, d_y] and of |x|^2, both sums over the pairs, or both means."""
        p, sigma, qt = np.linalg.svd(cross, full_matrices=False)  # [d_x, d], [d], [d, d_y]
        self.rotation_ = p @ qt  # [d_x, d_y]
        self.gain_ = float(sigma.sum() / size)

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        return self.gain_ * (x @ self.rotation_)

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        return (y @ self.rotation_.T) / self.gain_
