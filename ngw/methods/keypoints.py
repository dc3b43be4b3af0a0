"""Keypoint-guided transport: each row by its relation to the known pairs, compared by Jensen-Shannon divergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ngw.methods._selection import choose, matching
from ngw.methods.base import Method, unit
from ngw.options import option
from ngw.seeds import rng

TEMPERATURES = (0.01, 0.02, 0.04, 0.07, 0.1, 0.2, 0.4, 1.0)


@dataclass(eq=False, repr=False)
class Keypoints(Method):
    """A row's relation: softmax over keypoints of -distance / temperature; the distance is 1 - cosine.

    The keypoints are the known pairs' own sides, at most `keypoints` of them, drawn at random.  `embed` gives the
    square roots of the relations (their cosine is the Hellinger affinity), `cost` the Jensen-Shannon divergences.
    T_AB(x) is the mean of the keypoints' partners under x's relation.
    Source: Gu et al. 2022 (KPG-RL), section 3.2: relation d(R_i, S_j), eq. 6 to 8.
    """

    reference = "Gu et al. 2022"
    min_pairs = 4

    # In units of a cloud's mean distance to its keypoints; null: chosen on held-out pairs.
    temperature: float | None = option(None, above=0)
    keypoints: int = option(100, least=2)  # at most

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        px, py = unit(x[pairs[:, 0]]), unit(y[pairs[:, 1]])  # [k, d_x], [k, d_y]
        # In units of the mean distance one temperature suits both clouds.
        self.unit_x_, self.unit_y_ = (float(max(1 - (p @ p.T).mean(), 1e-6)) for p in (px, py))

        grid = TEMPERATURES if self.temperature is None else (self.temperature,)

        def scores(kept: np.ndarray, held: np.ndarray) -> list[float]:
            kept, sides = kept[: self.keypoints], ((px, self.unit_x_), (py, self.unit_y_))
            return [matching(*(np.sqrt(relation(p[held], p[kept], t * scale)) for p, scale in sides)) for t in grid]

        self.temperature_ = float(choose(grid, scores, pairs, seed))
        drawn = rng(seed, "keypoints").permutation(len(pairs))[: self.keypoints]
        self.anchors_x_, self.anchors_y_ = px[drawn], py[drawn]
        self.length_x_, self.length_y_ = (
            float(np.linalg.norm(z[side], axis=1).mean()) for z, side in ((x, pairs[:, 0]), (y, pairs[:, 1]))
        )

    def _relation_x(self, x: np.ndarray) -> np.ndarray:
        return relation(unit(x), self.anchors_x_, self.temperature_ * self.unit_x_)

    def _relation_y(self, y: np.ndarray) -> np.ndarray:
        return relation(unit(y), self.anchors_y_, self.temperature_ * self.unit_y_)

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        return self.length_y_ * unit(self._relation_x(x) @ self.anchors_y_)

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        return self.length_x_ * unit(self._relation_y(y) @ self.anchors_x_)

    def _embed_x(self, x: np.ndarray) -> np.ndarray:
        """Square roots of the relations, unit vectors: [n, keypoints]."""
        return np.sqrt(self._relation_x(x))

    def _embed_y(self, y: np.ndarray) -> np.ndarray:
        return np.sqrt(self._relation_y(y))

    def cost(self, x: Any, y: Any) -> np.ndarray:
        """Jensen-Shannon divergences of the relations, [n, m] float32, in nats: a ready cost for `ngw.ot.sinkhorn`."""
        from ngw.ot.divergence import jensen_shannon

        return jensen_shannon(self._relation_x(self._x(x)), self._relation_y(self._y(y)))


def relation(z: np.ndarray, anchors: np.ndarray, temperature: float) -> np.ndarray:
    """softmax over anchors of -(1 - cosine) / temperature, unit rows z [n, d] and anchors [k, d]; [n, k] float32."""
    logits = (z @ anchors.T) / np.float32(temperature)
    p = np.exp(np.maximum(logits - logits.max(1, keepdims=True), -60))  # no denormal numbers: they are slow
    return (p / p.sum(1, keepdims=True)).astype(np.float32)
