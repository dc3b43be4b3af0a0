"""What NGW chooses on pairs held out of its budget: how sharp the plan is, and how its rows are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ngw.methods._hubness import without_hubs
from ngw.methods._readout import Axes, Moments, moments, read_out, together
from ngw.methods._selection import folds, speak_against, standing, too_few, withdraw

if TYPE_CHECKING:
    from ngw.methods._transport import Transport

EPSILONS = (0.05, 0.02)
RIDGES = (0.01, 0.05, 0.2, 1.0, 5.0, 25.0)  # of an analysis of correlations, in units of the mean eigenvalue
MIDDLE = 1.0  # the ridge where nothing can be chosen
FEW, FOLDS = 50, ((50, 3), (300, 2))  # known pairs below which epsilon isn't chosen; so many of five folds held out
DRAFT, RIVALS = 2000, 1000  # unpaired rows a side at most: in a plan that is solved only to choose; that it never sees
LEAST = 0.02  # smaller shares are left out

Planner = Callable[[np.ndarray, np.ndarray, np.ndarray, float], tuple["Transport", tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class Choice:
    """One way to plan and to compare: the plan's epsilon, canonical variates by their shares, whether hubs go.

    parts: (with the plan's rows or of the known pairs alone, ridge, share), the shares add up to 1.
    """

    epsilon: float
    parts: Sequence[tuple[bool, float, float]]
    hubness: bool

    def axes(self, sums: Mapping[bool, Moments]) -> Axes:
        """Where rows are compared; sums: the moments with the plan's rows (True) and of the known pairs alone."""
        parts = [(share, ridge, sums[planned].variates(ridge)) for planned, ridge, share in self.parts]
        return together(parts, sums[True])


class Trial:
    """Some pairs held out: they are withdrawn from both clouds, and so are their rivals, a fifth of the other rows."""

    def __init__(
        self, plan: Planner, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, kept: np.ndarray, held: np.ndarray,
        trust: float,
    ) -> None:  # fmt: skip
        self.plan, self.trust, self.held = plan, trust, len(held)
        left, right, self.known = withdraw(x, y, pairs, kept)
        ends = (len(kept) + min(DRAFT, (len(z) - len(kept)) * 4 // 5) for z in (left, right))
        (self.x, left), (self.y, right) = (
            (z[:end], z[end:][:RIVALS]) for z, end in zip((left, right), ends, strict=True)
        )
        self.queries = np.concatenate([x[pairs[held, 0]], left]), np.concatenate([y[pairs[held, 1]], right])
        self.sums: dict[float, Mapping[bool, Moments]] = {}

    def standings(self, choice: Choice) -> np.ndarray:
        """How well each held-out pair finds itself among the rivals, [held]."""
        if choice.epsilon not in self.sums:
            plan, weights = self.plan(self.x, self.y, self.known, choice.epsilon)
            self.sums[choice.epsilon] = moments(self.x, self.y, self.known, plan, weights, self.trust)
        axes = choice.axes(self.sums[choice.epsilon])
        u, v = read_out(*self.queries, axes)
        return standing(*(without_hubs(u, v, *read_out(self.x, self.y, axes)) if choice.hubness else (u, v)), self.held)


def choose(
    plan: Planner, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, trust: float, seed: int,
    epsilon: float | None = None, hubness: bool | None = None,
) -> Choice:  # fmt: skip
    """The choice by which pairs that are held out find each other best; epsilon, hubness: what is given.

    Canonical variates aren't chosen but averaged, each as far as held-out pairs speak for it (exponential weights of
    its distance to the best in standard errors; Dalalyan and Tsybakov 2008): few pairs tell little, and then all count.
    Those of the known pairs alone are among them, for unpaired rows that mislead.
    """
    epsilons = EPSILONS if epsilon is None else (epsilon,)
    rest = len(x) - len(np.unique(pairs[:, 0])) + len(y) - len(np.unique(pairs[:, 1]))
    kinds = (False, True) if rest else (False,)
    if too_few(pairs):
        kinds = kinds if len(pairs) else (True,)
        return Choice(epsilons[0], [(kind, MIDDLE, 1 / len(kinds)) for kind in kinds], hubness is not False)
    epsilons = epsilons[:1] if len(pairs) < FEW else epsilons
    count = next((many for below, many in FOLDS if len(pairs) < below), 1)
    trials = [Trial(plan, x, y, pairs, *split, trust) for split in folds(pairs, seed)[:count]]

    def standings(choice: Choice, count: int | None = None) -> np.ndarray:
        return np.concatenate([trial.standings(choice) for trial in trials[:count]])

    def single(epsilon: float, kind: bool, count: int | None = None) -> dict[tuple[bool, float], np.ndarray]:
        return {(kind, r): standings(Choice(epsilon, [(kind, r, 1.0)], False), count) for r in RIDGES}

    def first(epsilon: float) -> float:
        return max(float(found.mean()) for found in single(epsilon, True, 1).values())

    if rest:  # the first fold says which epsilon
        epsilons = (max(epsilons, key=first),) if len(epsilons) > 1 else epsilons
    parts = _shares({key: found for kind in kinds for key, found in single(epsilons[0], kind).items()})
    with_hubs, without = (Choice(epsilons[0], parts, hubs) for hubs in (False, True))
    if hubness is None:
        hubness = not speak_against(standings(without) - standings(with_hubs))
    return without if hubness else with_hubs


def _shares(single: dict[tuple[bool, float], np.ndarray]) -> list[tuple[bool, float, float]]:
    """Exponential weights of each part's distance to the best one, in standard errors of that distance."""
    best = max(single.values(), key=np.mean)
    distance = {key: best - found for key, found in single.items()}
    errors = {key: max(float(d.std()) / np.sqrt(len(d)), 1e-9) for key, d in distance.items()}
    weights = {key: float(np.exp(-d.mean() / errors[key])) for key, d in distance.items()}
    total = sum(weights.values())
    weights = {key: w / total for key, w in weights.items() if w >= LEAST * total}
    total = sum(weights.values())
    return [(*key, w / total) for key, w in weights.items()]
