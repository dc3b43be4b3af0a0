"""Orthogonal Procrustes on the known pairs: the rotation that brings x closest to y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.methods._rotation import Rotation
from ngw.methods._selection import choose, matching, too_few
from ngw.methods.base import in_both_spaces

CONSTANT = 1e-4  # of the largest standard deviation: a feature that varies less is not scaled up


@dataclass(eq=False, repr=False)
class Procrustes(Rotation):
    """T_AB(x) = s x R with R' R = I on the smaller width, T_BA(y) = y R' / s, of plain or standardised features.

    Source: Schoenemann 1966; s as in Gower 1975.
    """

    reference = "Schoenemann 1966"

    # Divide each feature by its standard deviation in its cloud, so that none outweighs the others, neither in R nor in
    # the cosines; null: chosen on held-out pairs.
    standardise: bool | None = None

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        self.standardise_ = self._select(x, y, pairs, seed)
        self.x_spread_, self.y_spread_ = (spread(z) if self.standardise_ else np.ones_like(z[0]) for z in (x, y))
        px, py = x[pairs[:, 0]] / self.x_spread_, y[pairs[:, 1]] / self.y_spread_
        self._rotate(px.T @ py, float((px**2).sum()))

    def _select(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> bool:
        """Whether held-out pairs match better between standardised features; few say nothing, so that it is false."""
        if self.standardise is not None or too_few(pairs):
            return bool(self.standardise)
        px, py = x[pairs[:, 0]], y[pairs[:, 1]]
        sides = {False: (px, py), True: (px / spread(x), py / spread(y))}

        def scores(kept: np.ndarray, held: np.ndarray) -> list[float]:
            matches = []
            for u, v in sides.values():
                self._rotate(u[kept].T @ v[kept], float((u[kept] ** 2).sum()))
                matches.append(matching(self._compared_x(u[held]), self._compared_y(v[held])))
            return matches

        return choose(list(sides), scores, pairs, seed)

    def _compared_x(self, x: np.ndarray) -> np.ndarray:
        """Rows of x in the rotation's own coordinates to the space of `embed`."""
        return in_both_spaces(super()._to_y(x), x)

    def _compared_y(self, y: np.ndarray) -> np.ndarray:
        return in_both_spaces(y, super()._to_x(y))

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        return super()._to_y(x / self.x_spread_) * self.y_spread_

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        return super()._to_x(y / self.y_spread_) * self.x_spread_

    def _embed_x(self, x: np.ndarray) -> np.ndarray:
        """As `Method._embed_x`, of standardised features, if chosen."""
        return self._compared_x(x / self.x_spread_)

    def _embed_y(self, y: np.ndarray) -> np.ndarray:
        return self._compared_y(y / self.y_spread_)


def spread(x: np.ndarray) -> np.ndarray:
    """What to divide each feature of a centred cloud x [n, d] by, [d], for equal variances that sum to 1."""
    deviation = x.std(0, dtype=np.float64)
    varies = deviation > CONSTANT * deviation.max()
    return (np.where(varies, deviation, deviation.max()) * np.sqrt(varies.sum())).astype(x.dtype)
