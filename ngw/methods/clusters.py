"""A rotation without any pair, from clusters that are matched many times: NGW's start without pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.methods._matched import assignment, centroids
from ngw.methods._rotation import Rotation, directions
from ngw.methods._whitened import Whitened
from ngw.methods.base import EPS, unit
from ngw.options import option
from ngw.seeds import entropy, rng

SHARE = 0.8  # of the rows that a draw sees


@dataclass(eq=False, repr=False)
class Clusters(Whitened, Rotation):
    """T_AB(x) = s x R of the mean cross-covariance of matched clusters. Needs no pairs.

    A draw takes part of each cloud's unit rows and gives them `clusters` centroids by k-means, which are matched by
    quadratic assignment of their inner products (the best of `starts` local optima), that is by the highest CKA.
    One matching is partly wrong, the mean of many less so.  Clouds are compared by cosine along the singular
    directions of that mean, weighted by its singular values.  All in whitened coordinates (`whiten`, `dims`).
    `agreement_` is the norm of the mean over the mean norm: 1 where all draws agree, 1 / sqrt(draws) where they have
    nothing in common; nothing else reveals a rotation that is no better than chance.
    Source: the start of unpaired-rosetta 2026.  What differs: k-means uses the 50 leading coordinates, the assignment
    is 2-opt, directions are weighted.
    """

    reference = "unpaired-rosetta 2026"
    supervision = "none"

    clusters: int = option(20, least=2)  # centroids per draw
    draws: int = option(30, least=1)
    starts: int = option(30, least=1)  # of an assignment
    sample: int = option(10000, least=4)  # rows per side, at most, in a draw
    whiten: float | None = option(100.0, above=0)  # as in `whitening`, like dims
    dims: int = option(384, least=1)

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        x, y = unit(x), unit(y)
        drawn = [self._draw(x, y, seed, draw) for draw in range(self.draws)]
        cross: np.ndarray = np.stack(drawn).mean(0)
        self.agreement_ = float(np.linalg.norm(cross)) / max(float(np.mean([np.linalg.norm(c) for c in drawn])), EPS)
        self._rotate(cross, 1.0)
        self.gain_ = 1.0  # unit rows to unit rows
        self.left_, self.right_ = directions(cross)

    def _draw(self, x: np.ndarray, y: np.ndarray, seed: int, draw: int) -> np.ndarray:
        """Cross-covariance [d_x, d_y] of one draw's matched centroids, of norm 1 where these correspond."""
        both = []
        for side, z in (("x", x), ("y", y)):
            count = min(self.sample, max(2, int(SHARE * len(z))))
            rows = rng(seed, "clusters", side, draw).permutation(len(z))[:count]
            centres = centroids(z[rows], self.clusters, entropy(seed, "clusters", side, draw), "++")[0]
            both.append(centres - centres.mean(0))
        stream = rng(seed, "clusters", "assignment", draw)
        match = assignment(both[0] @ both[0].T, both[1] @ both[1].T, self.starts, stream)
        u, v = (z[index] for z, index in zip(both, match, strict=True))
        return (u.T @ v / max(float(np.linalg.norm(u) * np.linalg.norm(v)), EPS)).astype(np.float32)

    def _embed_x(self, x: np.ndarray) -> np.ndarray:
        """Rows along the singular directions, weighted, at unit length: [k, r]."""
        return unit(x @ self.left_)

    def _embed_y(self, y: np.ndarray) -> np.ndarray:
        return unit(y @ self.right_)
