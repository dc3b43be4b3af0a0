"""Fused Gromov-Wasserstein: the CCA space and the clouds' inner structure, blended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.methods._rotation import directions
from ngw.methods._selection import choose, matching, too_few, withdraw
from ngw.methods._variates import Variates, solve
from ngw.methods._whitened import whitening
from ngw.methods.base import unit
from ngw.options import option

ALPHAS = (1.0, 0.5, 0.25)


@dataclass(eq=False, repr=False)
class Fused(Variates):
    """alpha times the cosine of canonical variates plus 1 - alpha times the structure, under one entropic plan.

    The structure term is inner-product Gromov-Wasserstein, <x_i G, y_j> with the plan's cross-covariance G, in the
    leading `components` whitened by `whiten`; it starts at the known pairs, with the same root mean square as the
    cosines.  The maps are CCA's; `embed` is the blended affinity.  max_iter rounds smooth the known pairs' structure
    over the clouds and are stopped before they settle, on purpose.  Not converged where the last plan misses its
    marginals; `change_` is what G still moved by.
    Source: Vayer et al. 2020, eq. 4; the plan's rounds as in Peyre et al. 2016.
    """

    reference = "Vayer et al. 2020"

    alpha: float | None = option(None, least=0, most=1)  # share of the cosine, 1 is CCA; null: chosen on held-out pairs
    epsilon: float = option(0.02, above=0)  # in units of the cosine cost's mean, about 1
    whiten: float = option(1.0, above=0)  # of the structure's coordinates, as in `whitening`
    components: int = option(192, least=1)  # leading components for the structure
    max_iter: int = option(4, least=1)  # rounds at most
    tol: float = option(0.01, above=0)  # change of G at which the rounds stop early
    ridge: float | None = option(None, above=0)  # as in `CCA`, like power
    power: float | None = option(None)

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        super()._fit(x, y, pairs, seed)
        self.x_axes_, self.y_axes_ = (whitening(z, self.whiten, self.components)[0] for z in (x, y))
        self.alpha_ = self._blending(x, y, pairs, seed)
        end = self._refine(x, y, pairs, self.a_, self.b_, self.alpha_)
        self.structure_x_, self.structure_y_ = directions(end.cross)
        self.converged_, self.note_, self.change_ = end.coupling.converged, "", end.change
        if not self.converged_:
            self.note_ = end.reason

    def _refine(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, a: np.ndarray, b: np.ndarray, alpha: float):
        """The rounds from the known pairs (`ngw.ot.gromov.Refined`), a [d_x, r] and b [d_y, r] the variates' axes."""
        from ngw.ot.gromov import refine

        u, v = unit(x @ a), unit(y @ b)
        x, y = x @ self.x_axes_, y @ self.y_axes_
        cross = x[pairs[:, 0]].T @ y[pairs[:, 1]] / np.float32(len(pairs))
        # The structure term 4 <x G, y> in units where it varies as much over the clouds as the cosine does.
        scale = (_spread(u, v, np.eye(u.shape[1])) / (4 * _spread(x, y, cross))) ** 0.25
        x, y, cross = (z * np.float32(s) for z, s in ((x, scale), (y, scale), (cross, scale**2)))
        return refine(
            x, y, cross, epsilon=self.epsilon, linear=(u, v), alpha=alpha, max_iter=self.max_iter, tol=self.tol,
            inner_tol=1e-2, inner_iter=300,
        )  # fmt: skip

    def _blending(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> float:
        """The alpha with the best matching of held-out pairs, whose rows take no part in the transport; 0.5 of few."""
        if self.alpha is not None or too_few(pairs):
            return 0.5 if self.alpha is None else float(self.alpha)

        def scores(kept: np.ndarray, held: np.ndarray) -> list[float]:
            a, b, rho = solve(x[pairs[kept, 0]], y[pairs[kept, 1]], [self.ridge_])[0]
            a, b = a * rho ** np.float32(self.power_ / 2), b * rho ** np.float32(self.power_ / 2)
            (hx, hy), matches = (z[rows] for z, rows in zip((x, y), pairs[held].T, strict=True)), []
            for alpha in ALPHAS:
                left, right = directions(self._refine(*withdraw(x, y, pairs, kept), a, b, alpha).cross)
                u = _blend(unit(hx @ a), unit(hx @ self.x_axes_ @ left), alpha)
                matches.append(matching(u, _blend(unit(hy @ b), unit(hy @ self.y_axes_ @ right), alpha)))
            return matches

        return choose(ALPHAS, scores, pairs, seed, trials=1)

    def _embed_x(self, x: np.ndarray) -> np.ndarray:
        """Canonical variates and structure side by side, weighted so that the cosine is the blended affinity."""
        return _blend(super()._embed_x(x), unit(x @ self.x_axes_ @ self.structure_x_), self.alpha_)

    def _embed_y(self, y: np.ndarray) -> np.ndarray:
        return _blend(super()._embed_y(y), unit(y @ self.y_axes_ @ self.structure_y_), self.alpha_)


def _blend(u: np.ndarray, s: np.ndarray, alpha: float) -> np.ndarray:
    return unit(np.hstack([np.float32(np.sqrt(alpha)) * u, np.float32(np.sqrt(1 - alpha)) * s]))


def _spread(x: np.ndarray, y: np.ndarray, cross: np.ndarray) -> float:
    """Root mean square of <x_i cross, y_j> over all i and j."""
    return max(float(np.sqrt((((x.T @ x / len(x)) @ cross) * (cross @ (y.T @ y / len(y)))).sum())), 1e-12)
