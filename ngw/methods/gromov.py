"""Gromov-Wasserstein without any pair: clusters matched, the plan refined on all rows, then a rotation."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ngw.methods._axes import axes
from ngw.methods.base import Method
from ngw.seeds import entropy

LEADING = 50  # principal components in which the clusters are found


class Gromov(Method):
    """T_AB(x) = s x R, the rotation of a coupling that keeps each cloud's inner distances. Needs no pairs.

    k-means gives each cloud `clusters` centroids; their distances are matched by Gromov-Wasserstein from `starts`
    starts; all rows' entropic plan (inner products) is refined from there, and R solves orthogonal Procrustes on its
    barycentric projection.  All in the `dims` leading principal components, damped by `ridge` as in `axes`.
    epsilon: in units of the structure objective of the product plan.  Not converged where no second start finds the
    best matching again (it is then one of many), or where the refinement does not settle.
    Sources: Memoli 2011; Peyre et al. 2016; Alvarez-Melis & Jaakkola 2018 (Gromov-Wasserstein across languages).
    """

    reference = "Memoli 2011; Peyre et al. 2016"
    pairs = "none"

    def __init__(
        self,
        clusters: int = 100,
        starts: int = 6,
        epsilon: float = 0.005,
        ridge: float = 0.5,
        dims: int = 384,
        max_iter: int = 8,
        tol: float = 0.02,
    ) -> None:
        for name, value in {"clusters": clusters, "starts": starts, "dims": dims, "max_iter": max_iter}.items():
            least = 2 if name == "clusters" else 1
            if value < least:
                raise ValueError(f"{name} is {least} or more, not {value}")
        for name, value in {"epsilon": epsilon, "ridge": ridge, "tol": tol}.items():
            if not value > 0:
                raise ValueError(f"{name} is positive, not {value}")
        self.clusters, self.starts, self.epsilon, self.ridge, self.dims = clusters, starts, epsilon, ridge, dims
        self.max_iter, self.tol = max_iter, tol

    def _settle(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x_axes_, self.x_back_ = axes(x, self.ridge, self.dims)
        self.y_axes_, self.y_back_ = axes(y, self.ridge, self.dims)

    def _x(self, x: Any) -> np.ndarray:
        return super()._x(x) @ self.x_axes_

    def _y(self, y: Any) -> np.ndarray:
        return super()._y(y) @ self.y_axes_

    def _from_x(self, x: np.ndarray) -> np.ndarray:
        return super()._from_x(x @ self.x_back_)

    def _from_y(self, y: np.ndarray) -> np.ndarray:
        return super()._from_y(y @ self.y_back_)

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        from ngw.ot.gromov import product_objective, refine

        cross = self._match(x, y, seed)
        unit = product_objective(x, y)
        end = refine(
            x, y, cross, epsilon=self.epsilon * unit, max_iter=self.max_iter, tol=self.tol, inner_tol=1e-2,
            inner_iter=300,
        )  # fmt: skip
        p, sigma, qt = np.linalg.svd(end.cross, full_matrices=False)
        self.rotation_, self.gain_ = (p @ qt).astype(np.float32), float(sigma.sum() / (x**2).sum(1).mean())
        self.refined_ = 1 - 2 * float(np.linalg.norm(end.cross)) ** 2 / unit
        if not end.converged:
            self.converged_, self.note_ = False, f"{self.note_} refinement: {end.reason}".strip()

    def _match(self, x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
        """Cross-covariance x' P y [d_x, d_y] of the matched centroids."""
        from ngw.ot.gromov import match

        (cx, a), (cy, b) = (
            centroids(z, self.clusters, entropy(seed, "gromov", side)) for z, side in ((x, "x"), (y, "y"))
        )
        found = match(distances(cx), distances(cy), a, b, self.starts, seed)
        self.objective_, self.spread_, self.agreeing_ = float(found.objectives.min()), found.spread, found.agreeing
        self.converged_, self.note_ = found.converged, "" if found.converged else "matching: too few iterations."
        if self.starts > 1 and found.agreeing < 2:
            self.converged_ = False
            self.note_ = (
                f"restarts disagree: none of {self.starts} finds the best matching again, "
                f"their objectives spread by {found.spread:.3f}."
            )
        return (cx.T @ found.plan @ cy).astype(np.float32)

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        return self.gain_ * (x @ self.rotation_)

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        return (y @ self.rotation_.T) / self.gain_


def centroids(x: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(centroids [<= k, d], their shares of the rows) by k-means on the leading coordinates of x [n, d]."""
    from scipy.cluster.vq import kmeans2

    k = min(k, max(2, len(x) // 2))
    lead = x[:, :LEADING].astype(np.float64)
    begin = lead[np.random.default_rng(seed).choice(len(x), k, replace=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty cluster, of equal rows, is left out below
        label = kmeans2(lead, begin, minit="matrix", iter=30)[1]
    names, label, count = np.unique(label, return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), x.shape[1]))
    np.add.at(sums, label, x)
    return sums / count[:, None], count / len(x)


def distances(x: np.ndarray) -> np.ndarray:
    """Euclidean distances [k, k] within a set x [k, d]."""
    from scipy.spatial.distance import cdist

    return cdist(x, x)


def directions(cross: np.ndarray, power: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Singular directions of cross, each times its singular value (share of the largest) to the power / 2.

    (left [d_x, r], right [d_y, r]); directions below 1e-4 of the largest, which few pairs leave open, are left out.
    """
    p, s, qt = np.linalg.svd(cross, full_matrices=False)
    s = s / max(s[0], 1e-12)
    kept = s > 1e-4
    kept[0] = True
    weight = s[kept] ** (power / 2)
    return (p[:, kept] * weight).astype(np.float32), (qt[kept].T * weight).astype(np.float32)
