"""The space that a plan gives for comparison: canonical variates of known pairs, and of rows and barycentres."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from ngw.methods._clouds import blocks
from ngw.methods.base import unit

if TYPE_CHECKING:
    from ngw.methods._transport import Transport

Axes = tuple[np.ndarray, np.ndarray]  # a [d_x, r], b [d_y, r]
POWER = 2.0  # canonical variates are scaled by their correlation to the power / 2
NULL = 1e-7  # of the largest eigenvalue: directions below have no variance


@dataclass
class Moments:
    """Weighted sums over paired rows: all that canonical correlation analysis needs."""

    weight: float
    x: np.ndarray  # [d_x]
    y: np.ndarray  # [d_y]
    xx: np.ndarray  # [d_x, d_x]
    yy: np.ndarray  # [d_y, d_y]
    xy: np.ndarray  # [d_x, d_y]

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, w: np.ndarray) -> Self:
        """The sums over rows x [n, d_x] and y [n, d_y] with weights w [n]."""
        wx, wy = x * w[:, None], y * w[:, None]
        return cls(float(w.sum()), wx.sum(0), wy.sum(0), wx.T @ x, wy.T @ y, wx.T @ y)

    def plus(self, other: Moments, share: float) -> Moments:
        """The sums with the other's rows too, each at that share of its weight."""
        return Moments(*(getattr(self, f.name) + share * getattr(other, f.name) for f in dataclasses.fields(self)))

    def variates(self, ridge: float) -> Axes:
        """(a [d_x, r], b [d_y, r]): axes of the canonical variates, scaled by their correlations.

        ridge: in units of the mean eigenvalue of each side's covariance.
        """
        if ridge not in self._solved:
            self._solved[ridge] = self._variates(ridge)
        return self._solved[ridge]

    @functools.cached_property
    def _solved(self) -> dict[float, Axes]:
        return {}

    def _variates(self, ridge: float) -> Axes:
        wx, wy, cross = self.spectra
        (vx, ex), (vy, ey) = wx, wy
        sx, sy = (1 / np.sqrt(e + ridge * e.mean()) for e in (ex, ey))
        p, rho, qt = np.linalg.svd(sx[:, None] * cross * sy, full_matrices=False)
        scale = rho ** np.float32(POWER / 2)
        return vx @ (sx[:, None] * p * scale), vy @ (sy[:, None] * qt.T * scale)

    @functools.cached_property
    def spectra(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Both sides' (eigenvectors [d, r], eigenvalues [r]), and the cross-covariance along them."""
        mx, my = self.x / self.weight, self.y / self.weight
        sides = _spectrum(self.xx / self.weight, mx), _spectrum(self.yy / self.weight, my)
        return *sides, sides[0][0].T @ (self.xy / self.weight - np.outer(mx, my)) @ sides[1][0]


def _spectrum(second: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(eigenvectors [d, r], eigenvalues [r]) of a covariance, those above rounding."""
    values, vectors = np.linalg.eigh(second - np.outer(mean, mean))
    kept = values > NULL * values[-1]
    return vectors[:, kept], values[kept]


def moments(
    x: np.ndarray, y: np.ndarray, pairs: np.ndarray, plan: Transport, weights: tuple[np.ndarray, np.ndarray],
    trust: float, belief: np.ndarray | None = None,
) -> dict[bool, Moments]:  # fmt: skip
    """The moments of the known pairs alone (False), and with the other rows paired with their barycentres (True).

    A known pair counts 1, or its belief [k]; another row of x or y half its weight, [n] or [m], times `trust`.
    """
    alone = [np.setdiff1d(np.arange(len(z)), known) for z, known in ((x, pairs[:, 0]), (y, pairs[:, 1]))]
    known = np.ones(len(pairs), np.float32) if belief is None else belief
    sums = {False: Moments.of(x[pairs[:, 0]], y[pairs[:, 1]], known)}
    sums[True] = sums[False]
    for rows in blocks(max(map(len, alone))):  # some of each cloud at a time
        of_x, of_y = (others[rows] for others in alone)
        left, right = np.vstack([x[of_x], plan.to_x[of_y]]), np.vstack([plan.to_y[of_x], y[of_y]])
        some = Moments.of(left, right, np.concatenate([weights[0][of_x], weights[1][of_y]]) / 2)
        sums[True] = sums[True].plus(some, trust)
    return sums


@dataclass(frozen=True)
class Space:
    """Where rows of both clouds are compared: by the mean of the cosines along some sets of axes.

    x [p, d_x, r], y [p, d_y, r]: axes of the p sets; a set with fewer than r axes ends in zeros; shares [p], sum 1.
    """

    x: np.ndarray
    y: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[tuple[float, Axes]]) -> Self:
        """parts: (share, axes)."""
        width = max(a.shape[1] for _, (a, _) in parts)
        x, y = (
            np.stack([np.pad(axes[side], ((0, 0), (0, width - axes[side].shape[1]))) for _, axes in parts])
            for side in range(2)
        )
        return cls(x, y, np.array([share for share, _ in parts], np.float32))

    def embed(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unit rows (u [n, p r], v [m, p r]), whose inner product is that mean."""
        return self.embed_x(x), self.embed_y(y)

    def embed_x(self, x: np.ndarray) -> np.ndarray:
        """The unit rows of x alone."""
        return self._along(x, self.x)

    def embed_y(self, y: np.ndarray) -> np.ndarray:
        """The unit rows of y alone."""
        return self._along(y, self.y)

    def _along(self, z: np.ndarray, axes: np.ndarray) -> np.ndarray:
        return np.hstack([np.sqrt(share) * unit(z @ part) for share, part in zip(self.shares, axes, strict=True)])
