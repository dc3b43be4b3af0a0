"""Control: NGW on shuffled pairs. What the method finds where there is nothing to find."""

from __future__ import annotations

import numpy as np

from ngw.methods.warp import Warp
from ngw.seeds import rng


class Shuffled(Warp):
    """NGW whose known pairs have had their partners permuted before anything sees them; no pair keeps its own."""

    role = "control"

    def _prepare(self, x, y, pairs):
        x, y, pairs = super()._prepare(x, y, pairs)
        order = rng(len(pairs), "shuffled", "partners").permutation(len(pairs))
        partner = np.empty_like(order)
        partner[order] = np.roll(order, 1)  # one cycle: a plain permutation of k pairs leaves one in place on average
        return x, y, np.stack([pairs[:, 0], pairs[partner, 1]], axis=1)
