"""Control: NGW on shuffled pairs. What the method finds where there is nothing to find."""

from __future__ import annotations

from typing import Any

import numpy as np

from ngw.methods.warp import Warp


class Shuffled(Warp):
    """NGW whose known pairs are all wrong, as by `noise: 1`: the seed permutes their partners; none keeps its own."""

    role = "control"

    def _given(
        self, x: Any, y: Any, pairs: Any, seed: int, truth: np.ndarray | None = None
    ) -> tuple[Any, Any, Any, np.ndarray | None]:
        wrong = Warp(**self.params() | {"noise": float(self.supervision != "none")})
        return wrong._given(x, y, pairs, seed, truth)
