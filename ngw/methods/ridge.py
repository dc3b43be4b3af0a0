"""Ridge regression on the known pairs, one regression each way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.features.clouds import groups
from ngw.maps.linear import ridge
from ngw.methods.base import Method


@dataclass(eq=False, repr=False)
class Ridge(Method):
    """T_AB and T_BA by ridge regression; each penalty by leave-one-out on the pairs. No hyperparameter.

    Pairs that share a row are left out together.
    """

    reference = "Hoerl and Kennard 1970; Allen 1974"
    min_pairs = 3

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        px, py = x[pairs[:, 0]], y[pairs[:, 1]]
        left_out = groups(pairs)
        self.w_ab_, self.b_ab_, self.penalty_ab_ = ridge(px, py, group=left_out)
        self.w_ba_, self.b_ba_, self.penalty_ba_ = ridge(py, px, group=left_out)

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        return x @ self.w_ab_ + self.b_ab_

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        return y @ self.w_ba_ + self.b_ba_
