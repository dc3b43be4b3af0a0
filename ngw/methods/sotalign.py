"""SOTAlign: a linear teacher from the known pairs, then linear heads that learn its transport plan (KLOT)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.methods._selection import choose, matching
from ngw.methods._transport import pin
from ngw.methods._variates import Variates, regress, solve
from ngw.methods._whitened import Whitened
from ngw.methods.base import unit
from ngw.methods.cca import CCA
from ngw.options import option
from ngw.seeds import rng

EPSILONS = (0.02, 0.04)  # of the teacher's plan
DRAFT = {"steps": 20, "batch": 256}  # of a student that is fitted only to choose
DRAFT_ROWS = 1000  # unpaired rows per side that it sees


@dataclass(eq=False, repr=False)
class SOTAlign(Whitened, Variates):
    """Heads of one shared space, trained on unpaired rows with KL(P* | P) and on the known pairs with InfoNCE.

    Teacher: regularised CCA of the pairs, its ridge and power chosen on held-out pairs.  P*: the plan between the
    clouds in the teacher's space, the known pairs' mass on the pairs.  P: the plan of the heads' cosines.  The heads
    start as the teacher.
    Differs from the paper, for clouds of thousands instead of millions: the teacher's plan is solved once on the whole
    clouds and a batch takes its block of it (not a plan of its own); batches bring likely partners together.
    """

    reference = "Roschmann et al. 2026 (SOTAlign)"
    min_pairs = 4

    # Of the teacher's plan, in units of the mean cost; null: chosen on held-out pairs.
    epsilon_teacher: float | None = option(None, above=0)
    epsilon: float = option(0.1, above=0)  # of the heads' plan, in units of their cosines
    paired: float = option(1.0, least=0)  # weight of the InfoNCE loss
    temperature: float = option(0.05, above=0)  # of that loss
    steps: int = option(60, least=0)
    batch: int = option(512, least=4)  # rows per step
    learning_rate: float = option(5e-3, above=0)
    whiten: float | None = option(5.0, above=0)  # both clouds' coordinates, as in `Warp`; null: unchanged
    dims: int = option(384, least=1)

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        cca = CCA()._select(x[pairs[:, 0]], y[pairs[:, 1]], pairs, seed)
        self.ridge_, self.power_ = cca
        self.epsilon_teacher_ = self._choose(x, y, pairs, cca, seed)
        self.a_, self.b_, plan = self._train(x, y, pairs, cca, self.epsilon_teacher_, seed)
        self.converged_, self.note_ = plan.converged, "" if plan.converged else plan.reason
        # The maps: least squares from one side's head to the features of each row's partner in the teacher's plan.
        self.ab_ = regress(x @ self.a_, y[plan.y_of.numpy()])
        self.ba_ = regress(y @ self.b_, x[plan.x_of.numpy()])

    def _choose(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, cca: tuple[float, float], seed: int) -> float:
        """The teacher's epsilon with the best matching of held-out pairs, by short fits on part of the clouds."""
        grid = EPSILONS if self.epsilon_teacher is None else (self.epsilon_teacher,)
        x, y, pairs = _part(x, y, pairs, seed)
        draft = {"steps": min(DRAFT["steps"], self.steps), "batch": min(DRAFT["batch"], self.batch)}

        def scores(kept: np.ndarray, held: np.ndarray) -> list[float]:
            heads = (self._train(x, y, pairs[kept], cca, epsilon, seed, **draft)[:2] for epsilon in grid)
            return [matching(unit(x[pairs[held, 0]] @ a), unit(y[pairs[held, 1]] @ b)) for a, b in heads]

        return float(choose(grid, scores, pairs, seed))

    def _train(
        self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, cca: tuple[float, float], epsilon: float, seed: int,
        **changes: int,
    ):  # fmt: skip
        """(head of x [d_x, e], head of y [d_y, e], the teacher's plan); cca: its ridge and power."""
        from ngw.maps.klot import Teacher, Training, fit
        from ngw.seeds import torch_generator

        ridge, power = cca
        a, b, rho = solve(x[pairs[:, 0]], y[pairs[:, 1]], [ridge])[0]
        start = (a * rho ** np.float32(power / 2), b * rho ** np.float32(power / 2))
        rest = pin(np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y)), pairs)
        plan = Teacher(unit(x @ start[0]), unit(y @ start[1]), pairs, *rest, epsilon)
        values = {"steps": self.steps, "batch": self.batch} | changes
        training = Training(
            **values, learning_rate=self.learning_rate, epsilon=self.epsilon, paired=self.paired,
            temperature=self.temperature,
        )  # fmt: skip
        return *fit(x, y, pairs, plan, start, training, torch_generator(seed, "sotalign", "batches")), plan


def _part(x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(some rows of x, some of y, the same pairs by their new indices): all paired rows, DRAFT_ROWS others per side."""
    stream, parts, known = rng(seed, "sotalign", "draft"), [], []
    for z, own in zip((x, y), pairs.T, strict=True):
        others = np.setdiff1d(np.arange(len(z)), own)
        rows, index = np.unique(own, return_inverse=True)
        parts.append(np.concatenate([z[rows], z[stream.permutation(others)[:DRAFT_ROWS]]]))
        known.append(index)
    return parts[0], parts[1], np.stack(known, axis=1)
