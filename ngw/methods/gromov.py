"""Gromov-Wasserstein without any pair: clusters matched, the plan refined on all rows, then a rotation."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from ngw.methods._rotation import Rotation
from ngw.methods._whitened import Whitened
from ngw.registry import at_least, positive
from ngw.seeds import entropy

LEADING = 50  # principal components in which the clusters are found


class Gromov(Whitened, Rotation):
    """T_AB(x) = s x R, the rotation of a coupling that keeps each cloud's inner distances. Needs no pairs.

    k-means gives each cloud `clusters` centroids; their distances are matched by Gromov-Wasserstein from `starts`
    starts; all rows' entropic plan (inner products) is refined from there, and R solves orthogonal Procrustes on its
    barycentric projection.  All in whitened coordinates (`whiten`, `dims`).
    epsilon: in units of the structure objective of the product plan.  Not converged where no second start finds the
    best matching again (it is then one of many), or where the refinement does not settle.
    Sources: Memoli 2011; Peyre et al. 2016; Alvarez-Melis & Jaakkola 2018 (Gromov-Wasserstein across languages).
    """

    reference = "Memoli 2011; Peyre et al. 2016"
    supervision: Literal["none", "some", "all"] = "none"

    def __init__(
        self,
        clusters: int = 100,
        starts: int = 6,
        epsilon: float = 0.005,
        whiten: float = 0.5,
        dims: int = 384,
        max_iter: int = 8,
        tol: float = 0.02,
    ) -> None:
        at_least(2, clusters=clusters)
        at_least(1, starts=starts, dims=dims, max_iter=max_iter)
        positive(epsilon=epsilon, whiten=whiten, tol=tol)
        self.clusters, self.starts, self.epsilon, self.whiten, self.dims = clusters, starts, epsilon, whiten, dims
        self.max_iter, self.tol = max_iter, tol

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        from ngw.ot.gromov import product_objective, refine

        cross = self._match(x, y, seed)
        unit = product_objective(x, y)
        end = refine(
            x, y, cross, epsilon=self.epsilon * unit, max_iter=self.max_iter, tol=self.tol, inner_tol=1e-2,
            inner_iter=300,
        )  # fmt: skip
        self._rotate(end.cross, float((x**2).sum(1).mean()))
        self.refined_ = 1 - 2 * float(np.linalg.norm(end.cross)) ** 2 / unit
        if not end.converged:
            self.converged_, self.note_ = False, f"{self.note_} refinement: {end.reason}".strip()

    def _match(self, x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
        """Cross-covariance x' P y [d_x, d_y] of the matched centroids."""
        from ngw.ot.gromov import match

        (cx, a), (cy, b) = (
            centroids(z, self.clusters, entropy(seed, "gromov", side)) for z, side in ((x, "x"), (y, "y"))
        )
        matching = match(distances(cx), distances(cy), a, b, self.starts, seed)
        self.objective_ = float(matching.objectives.min())
        self.spread_, self.agreeing_ = matching.spread, matching.agreeing
        self.converged_, self.note_ = matching.converged, "" if matching.converged else "matching: too few iterations."
        if self.starts > 1 and matching.agreeing < 2:
            self.converged_ = False
            self.note_ = (
                f"restarts disagree: none of {self.starts} finds the best matching again, "
                f"their objectives spread by {matching.spread:.3f}."
            )
        return (cx.T @ matching.plan @ cy).astype(np.float32)


def centroids(x: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(centroids [<= k, d], their shares of the rows) by k-means on the leading coordinates of x [n, d]."""
    from scipy.cluster.vq import kmeans2

    k = min(k, max(2, len(x) // 2))
    lead = x[:, :LEADING].astype(np.float64)
    begin = lead[np.random.default_rng(seed).choice(len(x), k, replace=False)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One of the clusters is empty")  # it is left out below
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
