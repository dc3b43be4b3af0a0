"""Contrastive heads that keep each space's own similarities: the STRUCTURE regulariser."""

from __future__ import annotations

from ngw.methods.contrastive import Contrastive
from ngw.registry import at_least


class Structure(Contrastive):
    """`contrastive` plus a term that keeps, in the shared space, who is near whom in each frozen space.

    weight: of the term, in the authors' units; 10 is theirs.  levels: powers of the similarity walk; 1, as in their
    training code, sees near neighbours alone, and 3 gained nothing here.
    It hardly acts here: the heads start at CCA's solution, which changes similarities little, and stop within 40 steps,
    so that the row is `contrastive` within a point.
    Source: Gröger et al. 2025 (STRUCTURE).  What differs: the weight has no warm-up (theirs takes 500 steps); the known
    pairs alone carry the term, where their code can add unpaired rows; no layers are selected, since an encoder gives
    one vector; and what `contrastive` does its own way.  The divergence is their code's, not the paper's
    (`ngw.maps.heads.from_the_mean`).
    """

    reference = "Gröger et al. 2025"

    def __init__(
        self,
        weight: float = 10.0,
        levels: int = 1,
        loss: str = "sigmoid",
        width: int = 256,
        pull: float | None = None,
        steps: int | None = None,
        temperature: float = 0.07,
        batch: int = 512,
        learning_rate: float = 3e-4,
    ) -> None:
        super().__init__(loss, width, pull, steps, temperature, batch, learning_rate)
        if not 0 < weight < float("inf"):
            raise ValueError(f"weight is positive, not {weight}; `contrastive` is the method without the term")
        at_least(1, levels=levels)
        self.weight, self.levels = weight, levels

    def _grid(self) -> list[dict[str, float]]:
        return [settings | {"structure": self.weight, "levels": self.levels} for settings in super()._grid()]
