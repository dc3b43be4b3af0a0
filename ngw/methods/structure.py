"""Contrastive heads that keep each space's own similarities: the STRUCTURE regulariser."""

from __future__ import annotations

from dataclasses import dataclass

from ngw.methods.contrastive import Contrastive
from ngw.options import option


@dataclass
class Term:
    """The options of the term, which come before those of the heads."""

    weight: float = option(10.0, above=0)  # in the authors' units; 10 is theirs
    levels: int = option(1, least=1)  # powers of the similarity walk; 1, as in their training code: near neighbours


@dataclass(eq=False, repr=False)
class Structure(Contrastive, Term):
    """`contrastive` plus a term that keeps, in the shared space, the similarities within each frozen space.

    It has little effect here: the heads start at CCA's solution, which changes similarities little, and stop within 40
    steps, so that the row is `contrastive` within a point; levels up to 3 gained nothing.
    Source: Gröger et al. 2025 (STRUCTURE).  What differs: the weight has no warm-up (theirs takes 500 steps); the known
    pairs alone carry the term, where their code can add unpaired rows; no layers are selected, since an encoder gives
    one vector; and the differences of `contrastive`.  The divergence is their code's, not the paper's
    (`ngw.maps.heads.from_the_mean`).
    """

    reference = "Gröger et al. 2025"

    def _grid(self) -> list[dict[str, float]]:
        return [settings | {"structure": self.weight, "levels": self.levels} for settings in super()._grid()]
