"""Contrastive heads on frozen features, trained on the known pairs alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ngw.methods._selection import choose, matching
from ngw.methods._variates import Rest, Variates, regress, solve
from ngw.methods.base import unit
from ngw.options import option

PULLS = (1.0, 0.2)
ALL_FOLDS = 200  # pairs below which all five folds are used; from there on three, to save time
MARKS = (0, 10, 20, 40)  # steps at which training may stop; at 0 the heads are CCA's


@dataclass(eq=False, repr=False)
class Contrastive(Variates):
    """A linear head per side into a shared space (LiT, SAIL), started from CCA and trained on the pairs.

    loss: "sigmoid" (one decision for each pair of rows) or "infonce" (symmetric cross entropy), temperature learned.
    CCA's ridge and power are chosen on held-out pairs, before pull and steps. Why from CCA: on validation, heads from
    random or principal axes stayed below it at 100 and 300 pairs, and an MLP beside the linear part lost points at 1000
    and 3000.
    Rows without a pair as `negatives` (as SOTAlign's authors train SigLIP) gain nothing: see `docs/reference/peers.md`.
    Sources: Zhai et al. 2022 (LiT), Zhang et al. 2025 (SAIL); Radford et al. 2021 (InfoNCE), Zhai et al. 2023 (SigLIP).
    """

    reference = "Radford et al. 2021; Zhai et al. 2022, 2023; Zhang et al. 2025"

    loss: str = option("sigmoid", among=("infonce", "sigmoid"))
    width: int = option(256, least=1)  # axes of the shared space
    pull: float | None = option(None, least=0)  # penalty on the distance to the start; null: chosen on held-out pairs
    steps: int | None = option(None, least=0)  # null: chosen on held-out pairs
    temperature: float = option(0.07, above=0)  # at the start; it is learned
    batch: int = option(512, least=2)  # pairs per step
    learning_rate: float = option(3e-4, above=0)
    negatives: int = option(0, least=0)  # rows without a pair that join each side's batch; for the sigmoid loss

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.negatives and self.loss != "sigmoid":
            raise ValueError(f"negatives are for the sigmoid loss, not for {self.loss!r}")

    @property
    def dims(self) -> int:  # follows from an option
        return self.width

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        px, py = x[pairs[:, 0]], y[pairs[:, 1]]  # [k, d_x], [k, d_y]
        self.ridge_, self.power_ = self._select(px, py, pairs, seed)
        rest = (np.delete(x, pairs[:, 0], axis=0), np.delete(y, pairs[:, 1], axis=0)) if self.negatives else None
        chosen, self.steps_ = self._choose(px, py, pairs, seed, rest)
        self.pull_ = chosen["pull"]
        ((self.a_, self.b_),) = self._train(self._sides(px, py, rest), chosen, (self.steps_,), seed)
        self.ab_, self.ba_ = regress(px @ self.a_, py), regress(py @ self.b_, px)

    def _grid(self) -> list[dict[str, float]]:
        """The recipe's settings to choose from on held-out pairs; the safest first, for ties."""
        return [{"pull": pull} for pull in (PULLS if self.pull is None else (self.pull,))]

    def _choose(
        self, px: np.ndarray, py: np.ndarray, pairs: np.ndarray, seed: int, rest: Rest | None
    ) -> tuple[dict[str, float], int]:
        """(settings, steps) with the best matching of held-out pairs; one training serves all its stops."""
        grid, marks = self._grid(), MARKS if self.steps is None else (self.steps,)

        def scores(kept: np.ndarray, held: np.ndarray) -> list[float]:
            sides = self._sides(px[kept], py[kept], rest)
            heads = (pair for settings in grid for pair in self._train(sides, settings, marks, seed))
            return [matching(unit(px[held] @ a), unit(py[held] @ b)) for a, b in heads]

        candidates = [(settings, int(steps)) for settings in grid for steps in marks]
        return choose(candidates, scores, pairs, seed, trials=5 if len(px) < ALL_FOLDS else 3)

    def _sides(self, px: np.ndarray, py: np.ndarray, rest: Rest | None) -> tuple:
        """Both sides' heads at their start: CCA's, weighted by their correlations."""
        from ngw.maps.heads import Side

        a, b, rho = solve(px, py, [self.ridge_])[0]
        weight = rho[: self.width] ** np.float32(self.power_ / 2)
        rest_x, rest_y = (None, None) if rest is None else rest
        return Side(px, a[:, : self.width] * weight, rest_x), Side(py, b[:, : self.width] * weight, rest_y)

    def _train(
        self, sides: tuple, settings: dict[str, Any], marks: tuple[int, ...], seed: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Heads (a [d_x, w], b [d_y, w]) after each number of steps in marks."""
        from ngw.maps.heads import Recipe, train

        steps = max(MARKS) if self.steps is None else self.steps
        recipe = Recipe(self.loss, temperature=self.temperature, steps=steps, batch=self.batch,
                        learning_rate=self.learning_rate, negatives=self.negatives, **settings)  # fmt: skip
        return train(sides, recipe, marks, seed)
