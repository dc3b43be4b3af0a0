"""What NGW chooses on pairs held out of its budget: the space in which rows are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ngw.methods._hubness import without_hubs
from ngw.methods._readout import Moments, Space, moments
from ngw.methods._selection import folds, speak_against, standing, too_few, withdraw

if TYPE_CHECKING:
    from ngw.methods._transport import Transport

RIDGES = {0.05: 1.0, 0.2: 1.0, 1.0: 1.0, 5.0: 1.0, 25.0: np.exp(-1)}  # in units of the mean eigenvalue: prior
ALONE = np.exp(-1)  # prior of variates of the known pairs alone, against those with the plan's rows
FOLDS = ((100, 3), (300, 2))  # (known pairs, the folds of five used below them); from there on one
DRAFT, RIVALS = 2000, 1000  # most unpaired rows per side: in a draft plan; beside it, as rivals
LEAST, MOST = 0.05, 5  # smaller shares are left out; most parts that are kept

Planner = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple["Transport", tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class Choice:
    """One way to compare rows: canonical variates with their shares, and whether hubs are removed.

    parts: (with the plan's rows or of the known pairs alone, ridge, share); the shares sum to 1.
    """

    parts: Sequence[tuple[bool, float, float]]
    hubness: bool

    def space(self, sums: Mapping[bool, Moments]) -> Space:
        """Where rows are compared; sums: the moments with the plan's rows (True) and of the known pairs alone."""
        return Space.of([(share, sums[planned].variates(ridge)) for planned, ridge, share in self.parts])


class Trial:
    """Some pairs held out: they are withdrawn from both clouds, as are their rivals, a fifth of the other rows."""

    def __init__(
        self, plan: Planner, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, kept: np.ndarray, held: np.ndarray,
        trust: float,
    ) -> None:  # fmt: skip
        self.held = len(held)
        left, right, known = withdraw(x, y, pairs, kept, 2 * (DRAFT + RIVALS))  # more than needed
        ends = (len(kept) + min(DRAFT, (len(z) - len(kept)) * 4 // 5) for z in (left, right))
        (self.x, left), (self.y, right) = (
            (z[:end], z[end:][:RIVALS]) for z, end in zip((left, right), ends, strict=True)
        )
        self.queries = np.concatenate([x[pairs[held, 0]], left]), np.concatenate([y[pairs[held, 1]], right])
        self.sums = moments(self.x, self.y, known, *plan(self.x, self.y, known), trust)

    def standings(self, choice: Choice) -> np.ndarray:
        """How well the rows of each held-out pair find each other among the rivals, [held]."""
        space = choice.space(self.sums)
        u, v = space.embed(*self.queries)
        return standing(*(without_hubs(u, v, *space.embed(self.x, self.y)) if choice.hubness else (u, v)), self.held)


def choose(
    plan: Planner, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, trust: float, seed: int,
    hubness: bool | None = None,
) -> Choice:  # fmt: skip
    """The choice under which held-out pairs find each other best; hubness: the option, chosen too where None.

    Canonical variates are not selected but averaged, weighted by the prior and by the evidence of held-out pairs: few
    pairs tell little, and then all variates count.  Some are of the known pairs alone, in case unpaired rows mislead.
    """
    kinds = (False, True) if len(np.unique(pairs[:, 0])) < len(x) or len(np.unique(pairs[:, 1])) < len(y) else (False,)
    prior = {(kind, ridge): p * (1.0 if kind else ALONE) for kind in kinds for ridge, p in RIDGES.items()}
    if too_few(pairs):
        known = {key: p for key, p in prior.items() if len(pairs) or key[0]}
        return Choice(_shares(known), hubness is not False)
    count = next((many for below, many in FOLDS if len(pairs) < below), 1)
    trials = [Trial(plan, x, y, pairs, *split, trust) for split in folds(pairs, seed)[:count]]

    def standings(choice: Choice) -> np.ndarray:
        return np.concatenate([trial.standings(choice) for trial in trials])

    single = {key: standings(Choice([(*key, 1.0)], False)) for key in prior}
    parts = _shares({key: p * support(single)[key] for key, p in prior.items()})
    with_hubs, without = (Choice(parts, hubs) for hubs in (False, True))
    if hubness is None:
        hubness = not speak_against(standings(without) - standings(with_hubs))
    return without if hubness else with_hubs


def support(single: Mapping[tuple[bool, float], np.ndarray]) -> dict[tuple[bool, float], float]:
    """exp(-z / 2) of each part, where z is its distance to the best part in standard errors."""
    best = max(single.values(), key=np.mean)
    distance = {key: best - found for key, found in single.items()}
    errors = {key: max(float(d.std()) / np.sqrt(len(d)), 1e-9) for key, d in distance.items()}
    return {key: float(np.exp(-d.mean() / errors[key] / 2)) for key, d in distance.items()}


def _shares(weights: Mapping[tuple[bool, float], float]) -> list[tuple[bool, float, float]]:
    """The heaviest parts, and their shares of the weights."""
    least = LEAST * sum(weights.values())
    kept = [(key, w) for key, w in sorted(weights.items(), key=lambda part: -part[1])[:MOST] if w >= least]
    total = sum(w for _, w in kept)
    return [(*key, float(w / total)) for key, w in kept]
