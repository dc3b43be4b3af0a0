"""Gromov-Wasserstein without any pair: clusters matched, the plan refined on all rows, then a rotation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.methods._matched import Matched
from ngw.options import option


@dataclass(eq=False, repr=False)
class Gromov(Matched):
    """T_AB(x) = s x R, the rotation of a coupling that keeps each cloud's inner distances. Needs no pairs.

    k-means gives each cloud `clusters` centroids; their distances are matched by Gromov-Wasserstein from `starts`
    starts; all rows' entropic plan (inner products) is refined from there, and R solves orthogonal Procrustes on its
    barycentric projection.  All in whitened coordinates (`whiten`, `dims`).
    Not converged where no second start finds the best matching again (it is then one of many), or where the refinement
    does not settle.
    Sources: Memoli 2011; Peyre et al. 2016; Alvarez-Melis & Jaakkola 2018 (Gromov-Wasserstein across languages).
    """

    reference = "Memoli 2011; Peyre et al. 2016"
    supervision = "none"

    clusters: int = option(100, least=2)  # centroids of a cloud
    starts: int = option(6, least=1)  # of their matching
    epsilon: float = option(0.005, above=0)  # in units of the structure objective of the product plan
    whiten: float = option(0.5, above=0)  # as in `whitening`, like dims
    dims: int = option(384, least=1)
    max_iter: int = option(8, least=1)  # of the refinement, like tol
    tol: float = option(0.02, above=0)

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
