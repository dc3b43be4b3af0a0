"""Relative representations: each item by its similarities to the known pairs (ASIF)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.methods._selection import choose, matching
from ngw.methods.base import Method, unit
from ngw.options import option

POWERS = (1, 2, 4, 8)
KEPT = (0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(eq=False, repr=False)
class Relative(Method):
    """Cosines to the anchors (the pairs' own sides), the largest share `keep` of them raised to `power`.

    T_AB(x) is the mean of the anchors' partners, so weighted.
    Sources: Moschella et al. 2023 (relative representations); Norelli et al. 2023 (ASIF: sparsity and power).
    """

    reference = "Moschella et al. 2023; Norelli et al. 2023"
    min_pairs = 4

    # Null: chosen on held-out pairs.
    power: float | None = option(None, above=0)  # to which the cosines are raised
    keep: float | None = option(None, above=0, most=1)  # share of the anchors, the nearest

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        self.anchors_x_, self.anchors_y_ = unit(x[pairs[:, 0]]), unit(y[pairs[:, 1]])  # [k, d_x], [k, d_y]
        # Lengths of the anchors, so that the maps return features of the right size.
        self.length_x_ = float(np.linalg.norm(x[pairs[:, 0]], axis=1).mean())
        self.length_y_ = float(np.linalg.norm(y[pairs[:, 1]], axis=1).mean())
        grid = [
            (power, keep)
            for power in (POWERS if self.power is None else (self.power,))
            for keep in (KEPT if self.keep is None else (self.keep,))
        ]

        def scores(kept: np.ndarray, held: np.ndarray) -> list[float]:
            sides = (self.anchors_x_, self.anchors_y_)
            return [matching(*(unit(relative(a[held], a[kept], *each)) for a in sides)) for each in grid]

        power, keep = choose(grid, scores, pairs, seed)
        self.power_, self.keep_ = float(power), float(keep)

    def _weights(self, z: np.ndarray, anchors: np.ndarray) -> np.ndarray:
        return relative(unit(z), anchors, self.power_, self.keep_)

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        return self.length_y_ * unit(self._weights(x, self.anchors_x_) @ self.anchors_y_)

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        return self.length_x_ * unit(self._weights(y, self.anchors_y_) @ self.anchors_x_)

    def _embed_x(self, x: np.ndarray) -> np.ndarray:
        """Relative representations at unit length, [k, n_pairs]."""
        return unit(self._weights(x, self.anchors_x_))

    def _embed_y(self, y: np.ndarray) -> np.ndarray:
        return unit(self._weights(y, self.anchors_y_))


def relative(z: np.ndarray, anchors: np.ndarray, power: float, keep: float) -> np.ndarray:
    """sign(c) |c|^power of the cosines c of unit rows z to unit anchors, the largest share `keep` of a row; [n, k]."""
    cosine = z @ anchors.T
    count = max(1, round(keep * cosine.shape[1]))
    if count < cosine.shape[1]:
        smallest = np.partition(cosine, -count, axis=1)[:, -count, None]
        cosine = np.where(cosine >= smallest, cosine, 0)
    return np.sign(cosine) * np.abs(cosine) ** np.float32(power)
