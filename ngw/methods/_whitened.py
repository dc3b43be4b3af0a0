"""Whitening: each cloud in its own damped principal axes, and the methods that work there."""

from __future__ import annotations

from typing import Any

import numpy as np

from ngw.methods._clouds import blocks
from ngw.methods.base import Method

Axes = tuple[np.ndarray, np.ndarray]


class Whitened(Method):
    """A method that learns and maps in whitened coordinates: `whiten` and `dims` as in `whitening`.

    whiten: null leaves the clouds as they are, unless the method whitens them in its fit.
    """

    whiten: float | None
    dims: Any  # a number

    def _settle(self, x: np.ndarray, y: np.ndarray) -> None:
        if self.whiten is not None:
            self._whiten(x, y, self.whiten)

    def _whiten(
        self, x: np.ndarray, y: np.ndarray, ridge: float, axes: tuple[Axes, Axes] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Learn both clouds' whitening, which all rows use from now on; returns the whitened clouds.

        axes: of both clouds (`principal_axes`), where several whitenings share them.
        """
        of_x, of_y = axes or (principal_axes(x), principal_axes(y))
        self.x_white_, self.x_color_ = whitening(x, ridge, self.dims, of_x)
        self.y_white_, self.y_color_ = whitening(y, ridge, self.dims, of_y)
        return x @ self.x_white_, y @ self.y_white_

    def _rewhitened(self, x: np.ndarray, y: np.ndarray, ridge: float) -> list[np.ndarray]:
        """Factors [r] of the coordinates of the whitened clouds x, y [n, r] that whiten them by another ridge."""
        factors = []
        for z, color, full in ((x, self.x_color_, self.x_mean_), (y, self.y_color_, self.y_mean_)):
            before = np.linalg.norm(color, axis=1)  # what each component was divided by
            variance = (z**2).mean(0) * before**2  # of a cloud of total variance 1
            after = np.sqrt(variance + ridge / max(1, min(len(full), len(z) - 1)))
            factors.append((before / (after * np.sqrt((variance / after**2).sum()))).astype(np.float32))
        return factors

    def _is_whitened(self) -> bool:
        """Whether by the option, or by the method's own choice (`whiten_`)."""
        return self.whiten is not None or "whiten_" in vars(self)

    def _standard_x(self, x: np.ndarray) -> np.ndarray:
        x = super()._standard_x(x)
        return x @ self.x_white_ if self._is_whitened() else x

    def _standard_y(self, y: np.ndarray) -> np.ndarray:
        y = super()._standard_y(y)
        return y @ self.y_white_ if self._is_whitened() else y

    def _from_x(self, x: np.ndarray) -> np.ndarray:
        return super()._from_x(x @ self.x_color_ if self._is_whitened() else x)

    def _from_y(self, y: np.ndarray) -> np.ndarray:
        return super()._from_y(y @ self.y_color_ if self._is_whitened() else y)


def principal_axes(x: np.ndarray) -> Axes:
    """(variances [d], axes [d, d]) of a centred cloud x [n, d], the largest first, in float64."""
    mean, products = x.mean(0, dtype=np.float64), np.zeros((x.shape[1],) * 2)
    for rows in blocks(len(x)):
        centred = x[rows].astype(np.float64) - mean
        products += centred.T @ centred
    values, vectors = np.linalg.eigh(products * (1 / len(x)))
    return values[::-1].clip(0), vectors[:, ::-1]


def whitening(x: np.ndarray, ridge: float, dims: int, axes: Axes | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(white [d, r], color [r, d]) of a centred cloud x [n, d]: x @ white has unit mean square norm.

    Principal components, largest first, each divided by sqrt(variance + ridge * mean variance), the mean over the
    min(d, n - 1) components that can vary; `color` goes back, up to the components beyond the leading
    r = min(dims, d, n - 1).  axes: the cloud's (`principal_axes`), where they are known.
    """
    values, vectors = axes or principal_axes(x)
    rank = max(1, min(x.shape[1], len(x) - 1))
    r = min(dims, rank)
    scale = np.sqrt(values[:r] + ridge * values.sum() / rank)
    scale *= np.sqrt((values[:r] / scale**2).sum())
    return (vectors[:, :r] / scale).astype(np.float32), (vectors[:, :r] * scale).T.astype(np.float32)
