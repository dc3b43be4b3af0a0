"""Canonical variates of the known pairs: what regularised CCA learns, and what other methods start from."""

from __future__ import annotations

from typing import Any

import numpy as np

from ngw.maps.linear import thin_svd
from ngw.methods._selection import choose, matching
from ngw.methods.base import Method, unit

RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # in units of the mean eigenvalue
POWERS = (0.5, 1.0, 2.0)


class Variates(Method):
    """Canonical variates, weighted by a power of their correlations: options as in `CCA`."""

    min_pairs = 4
    ridge: float | None = None
    power: float | None = None
    dims: Any = None  # a number

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        px, py = x[pairs[:, 0]], y[pairs[:, 1]]  # [k, d_x], [k, d_y]
        self.ridge_, self.power_ = self._select(px, py, pairs, seed)
        a, b, rho = solve(px, py, [self.ridge_])[0]
        rho = rho[: self.dims] ** np.float32(self.power_ / 2)
        self.a_, self.b_ = a[:, : self.dims] * rho, b[:, : self.dims] * rho
        # The maps: least squares from one side's variates to the other side's features, with the same ridge.
        self.ab_, self.ba_ = regress(px @ self.a_, py), regress(py @ self.b_, px)

    def _select(self, px: np.ndarray, py: np.ndarray, pairs: np.ndarray, seed: int) -> tuple[float, float]:
        """(ridge, power) with the best matching of held-out pairs; one decomposition serves a fold's whole grid."""
        ridges = RIDGES if self.ridge is None else (self.ridge,)
        powers = POWERS if self.power is None else (self.power,)

        def scores(kept: np.ndarray, held: np.ndarray) -> list[float]:
            matches = []
            for a, b, rho in solve(px[kept], py[kept], ridges):
                for power in powers:
                    w = rho[: self.dims] ** np.float32(power / 2)
                    u, v = px[held] @ (a[:, : self.dims] * w), py[held] @ (b[:, : self.dims] * w)
                    matches.append(matching(unit(u), unit(v)))
            return matches

        ridge, power = choose([(r, p) for r in ridges for p in powers], scores, pairs, seed)
        return float(ridge), float(power)

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        return (x @ self.a_) @ self.ab_

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        return (y @ self.b_) @ self.ba_

    def _embed(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Canonical variates at unit length: [k, dims], [l, dims]."""
        return unit(x @ self.a_), unit(y @ self.b_)


def solve(x: np.ndarray, y: np.ndarray, ridges) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each ridge (a [d_x, r], b [d_y, r], correlations [r] in decreasing order), from paired rows.

    a = W_x P, b = W_y Q with whiteners W and the singular value decomposition P diag(rho) Q' of the whitened
    cross-covariance; r is at most min(k, d_x, d_y).
    """
    _, sx, vx = thin_svd(x - x.mean(0))
    _, sy, vy = thin_svd(y - y.mean(0))
    cross = vx @ ((x - x.mean(0)).T @ (y - y.mean(0))) @ vy.T / len(x)  # [r_x, r_y]
    out = []
    for ridge in ridges:
        wx, wy = (1 / np.sqrt(s**2 / len(x) + max(ridge * (s**2).mean() / len(x), 1e-12)) for s in (sx, sy))
        p, rho, qt = np.linalg.svd(wx[:, None] * cross * wy, full_matrices=False)
        out.append((vx.T @ (wx[:, None] * p), vy.T @ (wy[:, None] * qt.T), rho))
    return out


def regress(z: np.ndarray, target: np.ndarray, ridge: float = 1e-3) -> np.ndarray:
    """Least squares [r, d] of target on z, with a ridge in units of z's mean variance."""
    gram = z.T @ z
    gram[np.diag_indices_from(gram)] += ridge * max(np.trace(gram) / len(gram), 1e-12)
    return np.linalg.solve(gram, z.T @ target)
