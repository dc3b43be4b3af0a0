"""Canonical variates of the known pairs: regularised CCA learns them, and other methods start from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ngw.maps.linear import right_svd
from ngw.methods._selection import choose, matching
from ngw.methods.base import Method, unit

RIDGES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # in units of the mean eigenvalue
POWERS = (0.5, 1.0, 2.0)
Rest = tuple[np.ndarray, np.ndarray]  # rows of x and of y without a pair, which enter their own side's covariance


class Variates(Method):
    """Canonical variates, weighted by a power of their correlations: options as in `CCA`."""

    min_pairs = 4
    ridge: float | None = None
    power: float | None = None
    dims: Any = None  # a number

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        px, py = x[pairs[:, 0]], y[pairs[:, 1]]  # [k, d_x], [k, d_y]
        rest = self._rest(x, y, pairs)
        self.ridge_, self.power_ = self._select(px, py, pairs, seed, rest)
        a, b, rho = solve(px, py, [self.ridge_], rest)[0]
        rho = rho[: self.dims] ** np.float32(self.power_ / 2)
        self.a_, self.b_ = a[:, : self.dims] * rho, b[:, : self.dims] * rho
        # The maps: least squares from one side's variates to the other side's features, with the same ridge.
        self.ab_, self.ba_ = regress(px @ self.a_, py), regress(py @ self.b_, px)

    def _rest(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray) -> Rest | None:
        """The rows without a pair, where they enter the covariances."""
        return None

    def _select(
        self, px: np.ndarray, py: np.ndarray, pairs: np.ndarray, seed: int, rest: Rest | None = None
    ) -> tuple[float, float]:
        """(ridge, power) with the best matching of held-out pairs; one decomposition serves a fold's whole grid."""
        ridges = RIDGES if self.ridge is None else (self.ridge,)
        powers = POWERS if self.power is None else (self.power,)

        def scores(kept: np.ndarray, held: np.ndarray) -> list[float]:
            matches = []
            for a, b, rho in solve(px[kept], py[kept], ridges, rest):
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

    def _embed_x(self, x: np.ndarray) -> np.ndarray:
        """Canonical variates at unit length, [k, dims]."""
        return unit(x @ self.a_)

    def _embed_y(self, y: np.ndarray) -> np.ndarray:
        return unit(y @ self.b_)


def solve(
    x: np.ndarray, y: np.ndarray, ridges: Sequence[float], rest: Rest | None = None
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each ridge (a [d_x, r], b [d_y, r], correlations [r] in decreasing order), from paired rows.

    a = W_x P, b = W_y Q with whiteners W and the singular value decomposition P diag(rho) Q' of the whitened
    cross-covariance; r is at most min(k, d_x, d_y).  With `rest` the whiteners come from all rows, and correlations,
    whose pairs are then a sample, can exceed 1.
    """
    full = (x, y) if rest is None else [np.concatenate(rows) for rows in zip((x, y), rest, strict=True)]
    (n, sx, vx), (m, sy, vy) = ((len(z), *right_svd(z - z.mean(0))) for z in full)
    left, right = (x - x.mean(0)) @ vx.T, (y - y.mean(0)) @ vy.T / len(x)  # [k, r_x], [k, r_y]
    cross, few = left.T @ right, len(x) < min(len(sx), len(sy))  # [r_x, r_y]; few: of rank k, with `rest` alone
    out = []
    for ridge in ridges:
        wx, wy = (1 / np.sqrt(s**2 / k + max(ridge * (s**2).mean() / k, 1e-12)) for k, s in ((n, sx), (m, sy)))
        if few:
            (qx, tx), (qy, ty) = (np.linalg.qr((z * w).T) for z, w in ((left, wx), (right, wy)))
            p, rho, qt = np.linalg.svd(tx @ ty.T)
            p, qt = qx @ p, qt @ qy.T
        else:
            p, rho, qt = np.linalg.svd(wx[:, None] * cross * wy, full_matrices=False)
        out.append((vx.T @ (wx[:, None] * p), vy.T @ (wy[:, None] * qt.T), rho))
    return out


def regress(z: np.ndarray, target: np.ndarray, ridge: float = 1e-3) -> np.ndarray:
    """Least squares [r, d] of target on z, with a ridge in units of z's mean variance."""
    gram = z.T @ z
    gram[np.diag_indices_from(gram)] += ridge * max(np.trace(gram) / len(gram), 1e-12)
    return np.linalg.solve(gram, z.T @ target)
