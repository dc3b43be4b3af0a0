"""Contrastive heads on frozen features, trained on the known pairs alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from ngw.methods._selection import choose, matching
from ngw.methods.base import unit
from ngw.methods.cca import CCA, _regress, solve
from ngw.registry import at_least, positive

PULLS = (1.0, 0.2)
FEW = 200  # pairs under which all five folds are used; above, three, for time's sake
MARKS = (0, 10, 20, 40)  # steps at which training may stop; at 0 the heads are CCA's


class Contrastive(CCA):
    """A linear head a side into a shared space of `width` axes (LiT, SAIL), started from CCA and trained on the pairs.

    loss: "sigmoid" (one decision for each pair of rows) or "infonce" (symmetric cross entropy), temperature learned.
    pull, the penalty on the distance to the start, and steps are chosen on held-out pairs, unless given; CCA's ridge
    and power were chosen before, in the same way. Why from CCA: on validation, heads from random or principal axes
    stayed below it at 100 and 300 pairs, and an MLP beside the linear part lost points at 1000 and 3000.
    Sources: Zhai et al. 2022 (LiT), Zhang et al. 2025 (SAIL); Radford et al. 2021 (InfoNCE), Zhai et al. 2023 (SigLIP).
    """

    reference = "Radford et al. 2021; Zhai et al. 2022, 2023; Zhang et al. 2025"

    def __init__(
        self,
        loss: str = "sigmoid",
        width: int = 256,
        pull: float | None = None,
        steps: int | None = None,
        temperature: float = 0.07,
        batch: int = 512,
        learning_rate: float = 3e-4,
    ) -> None:
        if loss not in ("infonce", "sigmoid"):
            raise ValueError(f"loss is infonce or sigmoid, not {loss!r}")
        at_least(1, width=width)
        at_least(2, batch=batch)
        at_least(0, pull=pull or 0, steps=steps or 0)
        positive(temperature=temperature, learning_rate=learning_rate)
        super().__init__(dims=width)
        self.loss, self.width, self.pull, self.steps = loss, width, pull, steps
        self.temperature, self.batch, self.learning_rate = temperature, batch, learning_rate

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        px, py = x[pairs[:, 0]], y[pairs[:, 1]]  # [k, d_x], [k, d_y]
        self.ridge_, self.power_ = self._select(px, py, pairs, seed)
        chosen, self.steps_ = self._choose(px, py, pairs, seed)
        self.pull_ = chosen["pull"]
        ((self.a_, self.b_),) = self._train(self._sides(px, py), chosen, (self.steps_,), seed)
        self.ab_, self.ba_ = _regress(px @ self.a_, py), _regress(py @ self.b_, px)

    def _grid(self) -> list[dict[str, float]]:
        """The settings of the recipe among which held-out pairs choose; the safest first, for ties."""
        return [{"pull": pull} for pull in (PULLS if self.pull is None else (self.pull,))]

    def _choose(self, px: np.ndarray, py: np.ndarray, pairs: np.ndarray, seed: int) -> tuple[dict[str, float], int]:
        """(settings, steps) with the best matching of held-out pairs; one training serves all its stops."""
        grid, marks = self._grid(), MARKS if self.steps is None else (self.steps,)

        def scores(kept: np.ndarray, held: np.ndarray) -> list[float]:
            sides = self._sides(px[kept], py[kept])
            heads = (pair for settings in grid for pair in self._train(sides, settings, marks, seed))
            return [matching(unit(px[held] @ a), unit(py[held] @ b)) for a, b in heads]

        candidates = [(settings, int(steps)) for settings in grid for steps in marks]
        return choose(candidates, scores, pairs, seed, trials=5 if len(px) < FEW else 3)

    def _sides(self, px: np.ndarray, py: np.ndarray) -> tuple:
        """Both sides' heads at their start: CCA's, weighted by their correlations."""
        from ngw.maps.heads import Side

        a, b, rho = solve(px, py, [self.ridge_])[0]
        weight = rho[: self.width] ** np.float32(self.power_ / 2)
        return Side(px, a[:, : self.width] * weight), Side(py, b[:, : self.width] * weight)

    def _train(
        self, sides: tuple, settings: dict[str, Any], marks: tuple[int, ...], seed: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Heads (a [d_x, w], b [d_y, w]) after each number of steps in marks."""
        from ngw.maps.heads import Recipe, train

        steps = max(MARKS) if self.steps is None else self.steps
        recipe = Recipe(self.loss, temperature=self.temperature, steps=steps, batch=self.batch,
                        learning_rate=self.learning_rate, **settings)  # fmt: skip
        return train(sides, recipe, marks, seed)
