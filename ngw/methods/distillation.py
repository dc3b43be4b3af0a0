"""Distillation: a student with the size of T_AB that imitates the partner encoder's features and similarities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.errors import InputError
from ngw.features.clouds import groups
from ngw.methods._selection import choose, matching
from ngw.methods.base import Method, unit
from ngw.options import option

MARKS = (0, 20, 60, 120)  # steps at which training may stop; at 0 the student is ridge regression's


@dataclass(eq=False, repr=False)
class Distillation(Method):
    """T_AB learns, on the known pairs, the teacher's features of the partner, and the similarities among them.

    The teacher of T_AB is y's encoder, of T_BA x's. Loss: 1 - cosine to the partner's feature (feature distillation,
    Hinton et al. 2015; Romero et al. 2015), plus `relational` times the Kullback-Leibler divergence of the student's
    similarity distribution over the batch from the teacher's at `temperature` (Park et al. 2019; Fang et al. 2021).
    Both students are linear and start at ridge regression's solution.

    With a `teacher`, a jointly trained model (a method of the config that reads raw items), the student imitates the
    teacher's similarities between images and texts instead (`taught_by` gives its features of the rows).
    """

    reference = "Hinton et al. 2015; Romero et al. 2015; Park et al. 2019"
    min_pairs = 5
    _joint = None  # type: tuple[np.ndarray, np.ndarray] | None  # no annotation, or it would be an option

    relational: float = option(1.0, least=0)  # weight of the divergence
    steps: int | None = option(None, least=0)  # null: chosen on held-out pairs
    temperature: float = option(0.1, above=0)  # of the similarities
    batch: int = option(256, least=2)  # pairs per step
    learning_rate: float = option(3e-4, above=0)
    teacher: str | None = None  # a method of the config; null: the partner's encoder

    def taught_by(self, u: np.ndarray, v: np.ndarray) -> None:
        """The joint teacher's features of the clouds that `fit` will get, row by row: [n, e] and [m, e]."""
        self._joint = (u, v)

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        px, py = x[pairs[:, 0]], y[pairs[:, 1]]
        joint = self._known(x, y, pairs)
        self.steps_ = self._choose(px, py, joint, pairs, seed)
        marks, group = (self.steps_,), groups(pairs)
        ((self.w_ab_, self.b_ab_),) = self._student(px, py, joint, group, marks, seed)
        ((self.w_ba_, self.b_ba_),) = self._student(py, px, joint and joint[::-1], group, marks, seed)

    def _choose_hubness(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> bool:
        # A joint teacher's features fit these rows in this order; a fit with rows held out would need others.
        return self.teacher is None and super()._choose_hubness(x, y, pairs, seed)

    def _known(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The joint teacher's features of the known pairs, where there is one."""
        if self.teacher is None:
            return None
        sizes = None if self._joint is None else tuple(map(len, self._joint))
        if self._joint is None or sizes != (len(x), len(y)):
            raise InputError(
                f"distillation: teacher {self.teacher!r}: expected its features of {len(x)} and {len(y)} rows, found "
                f"{sizes}; give them by taught_by, or to the fit stage by --teacher."
            )
        return self._joint[0][pairs[:, 0]], self._joint[1][pairs[:, 1]]

    def _choose(
        self, px: np.ndarray, py: np.ndarray, joint: tuple[np.ndarray, np.ndarray] | None, pairs: np.ndarray, seed: int
    ) -> int:
        """The number of steps with the best matching of held-out pairs; one training serves all its stops."""
        marks, group = MARKS if self.steps is None else (self.steps,), groups(pairs)

        def scores(kept: np.ndarray, held: np.ndarray) -> list[float]:
            teaching = None if joint is None else (joint[0][kept], joint[1][kept])
            there = self._student(px[kept], py[kept], teaching, group[kept], marks, seed)
            back = self._student(py[kept], px[kept], teaching and teaching[::-1], group[kept], marks, seed)
            return [
                matching(
                    np.hstack([unit(px[held] @ w + b), unit(px[held])]),
                    np.hstack([unit(py[held]), unit(py[held] @ v + c)]),
                )
                for (w, b), (v, c) in zip(there, back, strict=True)
            ]

        return choose(marks, scores, pairs, seed, trials=3)

    def _student(
        self,
        x: np.ndarray,
        y: np.ndarray,
        joint: tuple[np.ndarray, np.ndarray] | None,
        group: np.ndarray,
        marks: tuple[int, ...],
        seed: int,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """The student (w, b) after each number of steps in marks."""
        from ngw.maps.distil import train

        return train(x, y, self.relational, marks, self.temperature, self.batch, self.learning_rate, seed, joint, group)

    def _to_y(self, x: np.ndarray) -> np.ndarray:
        return x @ self.w_ab_ + self.b_ab_

    def _to_x(self, y: np.ndarray) -> np.ndarray:
        return y @ self.w_ba_ + self.b_ba_
