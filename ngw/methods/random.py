"""Control: a random linear map. Chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.methods.base import Method
from ngw.seeds import rng


@dataclass(eq=False, repr=False)
class Random(Method):
    """T_AB and T_BA with independent Gaussian entries; it learns nothing."""

    role = "control"
    supervision = "none"

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        stream = rng(seed, "random", "maps")
        shape = (x.shape[1], y.shape[1])
        self.w_ab_ = (stream.standard_normal(shape) / np.sqrt(shape[1])).astype(np.float32)
        self.w_ba_ = (stream.standard_normal(shape[::-1]) / np.sqrt(shape[0])).astype(np.float32)

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        return x @ self.w_ab_

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        return y @ self.w_ba_
