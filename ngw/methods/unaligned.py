"""Control: the individual encoders, without alignment. Principal axes are compared one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.methods.base import Method, unit
from ngw.options import option


@dataclass(eq=False, repr=False)
class Unaligned(Method):
    """Each cloud's leading principal components, as many as the smaller width has, matched by their order.

    With axes: zero-pad, the raw axes are matched instead, the narrower cloud padded with zeros.
    """

    role = "control"
    supervision = "none"

    axes: str = option("pca", among=("pca", "zero-pad"))

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        dims = min(x.shape[1], y.shape[1])
        if self.axes == "pca":
            self.axes_x_, self.axes_y_ = principal_axes(x, dims), principal_axes(y, dims)
        else:
            self.axes_x_, self.axes_y_ = (np.eye(z.shape[1], dims, dtype=np.float32) for z in (x, y))

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        return (x @ self.axes_x_) @ self.axes_y_.T

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        return (y @ self.axes_y_) @ self.axes_x_.T

    def _embed_x(self, x: np.ndarray) -> np.ndarray:
        """Principal components at unit length, [k, dims]."""
        return unit(x @ self.axes_x_)

    def _embed_y(self, y: np.ndarray) -> np.ndarray:
        return unit(y @ self.axes_y_)


def principal_axes(x: np.ndarray, dims: int) -> np.ndarray:
    """The covariance's leading eigenvectors for centred rows, [d, dims]; signs make the skew positive."""
    _, vectors = np.linalg.eigh(x.T.astype(np.float64) @ x)
    axes = vectors[:, ::-1][:, :dims]
    skew = ((x @ axes) ** 3).sum(0)
    return (axes * np.where(skew < 0, -1, 1)).astype(np.float32)
