"""A rotation between two clouds' coordinates, and its scale: what several methods learn, each in its own way."""

from __future__ import annotations

import numpy as np

from ngw.methods.base import Method


class Rotation(Method):
    """T_AB(x) = s x R with R' R = I on the smaller width, T_BA(y) = y R' / s."""

    def _rotate(self, cross: np.ndarray, size: float) -> None:
        """R and s of the cross-covariance x' y [d_x, d_y] and of |x|^2, both sums over the pairs, or both means."""
        p, sigma, qt = np.linalg.svd(cross, full_matrices=False)  # [d_x, d], [d], [d, d_y]
        self.rotation_ = p @ qt  # [d_x, d_y]
        self.gain_ = float(sigma.sum() / size)

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        return self.gain_ * (x @ self.rotation_)

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        return (y @ self.rotation_.T) / self.gain_


def directions(cross: np.ndarray, power: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Singular directions of cross, each times its singular value (share of the largest) to the power / 2.

    (left [d_x, r], right [d_y, r]); directions below 1e-4 of the largest, undetermined by few pairs, are left out.
    """
    p, s, qt = np.linalg.svd(cross, full_matrices=False)
    s = s / max(s[0], 1e-12)
    kept = s > 1e-4
    kept[0] = True
    weight = s[kept] ** (power / 2)
    return (p[:, kept] * weight).astype(np.float32), (qt[kept].T * weight).astype(np.float32)
