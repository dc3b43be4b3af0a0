"""Control: NGW on shuffled pairs. What the method finds where there is nothing to find."""

from __future__ import annotations

from ngw.methods._given import exchange
from ngw.methods.warp import Warp
from ngw.seeds import rng


class Shuffled(Warp):
    """NGW whose known pairs have had their partners permuted before anything sees them; no pair keeps its own."""

    role = "control"

    def _prepare(self, x, y, pairs):
        x, y, pairs = super()._prepare(x, y, pairs)
        return x, y, exchange(pairs, rng(len(pairs), "shuffled", "partners"))
