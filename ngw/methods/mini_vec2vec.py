"""mini-vec2vec: a rotation between clouds without any pair, from matched clusters and then from neighbours."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ngw.maps.linear import right_svd
from ngw.methods._matched import assignment, centroids
from ngw.methods._rotation import Rotation
from ngw.methods.base import EPS, unit
from ngw.options import option
from ngw.seeds import entropy, rng

BLOCK = 4096  # rows that are compared at a time


@dataclass(eq=False, repr=False)
class MiniVec2Vec(Rotation):
    """T_AB(x) = s x R from pseudo-pairs by clusters, refined by each row's neighbours under the rotation.

    Start: k-means per side, centroids matched by quadratic assignment of their cosines (2-opt), `runs` times.  A row
    is described by its cosines to the centroids of all runs; its pseudo-partner is the mean of the `neighbours` rows of
    the other cloud with the most similar description.  Then `rounds` times: rows of x are mapped, paired with the mean
    of their nearest rows of y, and R moves by `step` of the way to the Procrustes solution.  Last, the mapped k-means
    centres of x seed those of y, and R moves once more, between both.  All on centred unit rows, in principal axes.
    Nothing here reveals a rotation that is no better than chance, since no pair is known.
    Source: Dar 2025 (mini-vec2vec, algorithms 1 to 4).  What differs: R stays a rotation of the smaller width, since
    the mean of two rotations is none; k-means uses the 50 leading axes alone.
    """

    reference = "Dar 2025 (mini-vec2vec)"
    supervision = "none"

    clusters: int = option(20, least=2)  # centroids per run, which anchor the rows
    runs: int = option(30, least=1)
    starts: int = option(30, least=1)  # of an assignment; the best is kept
    neighbours: int = option(50, least=1)  # whose mean is a pseudo-partner
    rounds: int = option(100, least=0)
    sample: int = option(10000, least=2)  # rows per side, at most, at the start and in each round
    centres: int = option(500, least=0)  # of the last step; 0 leaves it out
    step: float = option(0.5, above=0, most=1)  # how far the rotation moves

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        x, y = (unit(z - z.mean(0)) for z in map(unit, (x, y)))
        axes = tuple(right_svd(z)[1] for z in (x, y))  # [r_x, d_x], [r_y, d_y]
        x, y = (z @ v.T for z, v in zip((x, y), axes, strict=True))
        rows, others = self._drawn(x, seed, "x"), self._drawn(y, seed, "y")
        partners = nearest_mean(*self._told(rows, others, seed), others, self.neighbours)
        self._rotate(rows.T @ partners, float((rows**2).sum()))
        for i in range(self.rounds):
            rows, others = self._drawn(x, seed, "x", i), self._drawn(y, seed, "y", i)
            self._move(rows, nearest_mean(unit(rows @ self.rotation_), unit(others), others, self.neighbours))
        if self.centres:
            self._move(*self._centres(x, y, seed))
        self.rotation_ = axes[0].T @ self.rotation_ @ axes[1]

    def _drawn(self, z: np.ndarray, seed: int, *address: str | int) -> np.ndarray:
        """Rows at random, `sample` at most."""
        if len(z) <= self.sample:
            return z
        return z[rng(seed, "mini-vec2vec", "sample", *address).permutation(len(z))[: self.sample]]

    def _told(self, x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Unit rows [n, runs * clusters], [m, ...]: their cosines to the matched centroids of all runs."""
        told: tuple[list[np.ndarray], list[np.ndarray]] = [], []
        for run in range(self.runs):
            u, v = (
                unit(centroids(z, self.clusters, entropy(seed, "mini-vec2vec", side, run), "++")[0])
                for z, side in ((x, "x"), (y, "y"))
            )
            stream = rng(seed, "mini-vec2vec", "assignment", run)
            match = assignment(u @ u.T, v @ v.T, self.starts, stream)
            for cosines, z, anchors, index in zip(told, (x, y), (u, v), match, strict=True):
                cosines.append(z @ anchors[index].T.astype(np.float32))
        wide = (np.hstack(cosines) for cosines in told)
        left, right = (unit((z - z.mean(0)) / np.maximum(z.std(0), EPS)) for z in wide)
        return left, right

    def _centres(self, x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Centres of x, and those of y that k-means finds from where they are mapped: [k, r_x], [k, r_y]."""
        from scipy.cluster.vq import kmeans2

        centres = centroids(x, self.centres, entropy(seed, "mini-vec2vec", "centres"))[0].astype(np.float32)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="One of the clusters is empty")  # it stays where it was mapped
            return centres, kmeans2(y, centres @ self.rotation_, minit="matrix", iter=30)[0]

    def _move(self, source: np.ndarray, target: np.ndarray) -> None:
        """Part of the way to the rotation of the rows source [k, d_x] to target [k, d_y], and back to a rotation."""
        before, cross = self.rotation_, source.T @ target
        p, _, qt = np.linalg.svd(cross, full_matrices=False)
        p, _, qt = np.linalg.svd((1 - self.step) * before + self.step * (p @ qt), full_matrices=False)
        self.rotation_ = p @ qt
        self.gain_ = max(float((cross * self.rotation_).sum() / (source**2).sum()), EPS)


def nearest_mean(u: np.ndarray, v: np.ndarray, values: np.ndarray, k: int) -> np.ndarray:
    """For each unit row of u [n, e] the mean of the values [m, d] of the k nearest unit rows of v [m, e]; [n, d]."""
    k, means = min(k, len(v)), []
    for start in range(0, len(u), BLOCK):
        scores = u[start : start + BLOCK] @ v.T
        means.append(values[np.argpartition(scores, -k, axis=1)[:, -k:]].mean(1))
    return np.concatenate(means)
