"""Wasserstein-Procrustes: transport and rotation in turns, from the known pairs or from Gromov-Wasserstein."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ngw.device import device
from ngw.methods._matched import Matched
from ngw.methods._rotation import directions
from ngw.methods._selection import choose, matching, too_few, withdraw
from ngw.methods._whitened import Axes, principal_axes
from ngw.methods.base import unit
from ngw.options import option

WHITENS, POWERS = (0.5, 1.0, 2.0), (0.5, 1.0)
LOOSE = 0.1  # directions of noise never settle, and count for little
TRIAL = 2  # rounds after which candidates are compared


@dataclass(eq=False, repr=False)
class WassersteinProcrustes(Matched):
    """T_AB(x) = s x R: a plan under the rotation, then the rotation under the plan, and so on.

    A round solves entropic transport between the rows without a partner, epsilon falling to `last_epsilon`, and
    Procrustes on its barycentric projection and on the known pairs, each of which weighs as much as a row.  Clouds are
    compared by cosine along the singular directions of the cross-covariance, weighted by its singular values to the
    `power`: 0 is the plain rotation.
    A cross-covariance that changes by more than LOOSE of its norm in the last round is not converged.
    Sources: Zhang et al. 2017; Grave, Joulin & Berthet 2019 (Wasserstein-Procrustes); Alvarez-Melis et al. 2019
    (epsilon falling by rounds).
    """

    reference = "Grave, Joulin & Berthet 2019"
    min_pairs = 2

    start: str = option("pairs", among=("pairs", "gromov"))  # gromov needs no pairs
    power: float | None = option(None, least=0)  # of the singular values; null: chosen on held-out pairs
    rounds: int = option(6, least=0)  # at most
    epsilon: float = option(0.05, above=0)  # of the first round, in units of the mean cost
    last_epsilon: float = 0.02  # of the last, at most epsilon
    whiten: float | None = option(None, above=0)  # as in `whitening`, like dims; null: chosen on held-out pairs
    dims: int = option(384, least=1)
    clusters: int = option(100, least=2)  # as in `Gromov`, like starts
    starts: int = option(6, least=1)
    tol: float = option(0.01, above=0)  # change of the cross-covariance, in its norm, at which the rounds end early

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.last_epsilon <= self.epsilon:
            raise ValueError(f"last_epsilon is positive and at most epsilon, not {self.last_epsilon}")

    @property
    def supervision(self) -> Literal["none", "some", "all"]:  # type: ignore[override]  # follows from an option
        return "none" if self.start == "gromov" else "some"

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        axes = (principal_axes(x), principal_axes(y)) if self.whiten is None else None
        self.whiten_, self.power_ = self._select(x, y, pairs, axes, seed)
        if self.whiten is None:
            x, y = self._whiten(x, y, self.whiten_, axes)
        start = self._match(x, y, seed) if self.start == "gromov" else 0
        cross: np.ndarray = np.zeros((1, 1))
        change, self.rounds_ = 0.0, -1
        for after in self._rounds(x, y, pairs, start, self.power_, self.rounds):
            change = float(np.linalg.norm(after - cross)) / max(float(np.linalg.norm(after)), 1e-12)
            cross, self.rounds_ = after, self.rounds_ + 1
            if change <= self.tol:
                break
        self.change_ = change if self.rounds_ else 0.0
        if self.change_ > LOOSE:
            text = f"the cross-covariance still changed by {change:.2f} of its norm in round {self.rounds_}, the last."
            self.converged_, self.note_ = False, f"{self.note_} {text}".strip()
        self.left_, self.right_ = directions(cross, self.power_)
        self._rotate(cross, float((x**2).sum(1).mean()))

    def _rounds(
        self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, cross: Any, power: float, rounds: int
    ) -> Iterator[np.ndarray]:
        """Cross-covariances [d_x, d_y]: at the start, and after each round."""
        from ngw.ot import sinkhorn

        known = x[pairs[:, 0]].T @ y[pairs[:, 1]] / np.float32(len(x))
        rest_x, rest_y = (np.delete(z, side, axis=0) for z, side in zip((x, y), pairs.T, strict=True))
        yield cross + known
        cross = cross + known
        for i in range(rounds if min(len(rest_x), len(rest_y)) else 0):
            epsilon = self.epsilon * (self.last_epsilon / self.epsilon) ** (i / max(self.rounds - 1, 1))
            left, right = directions(cross, power)
            u, v = rest_x @ left, rest_y @ right
            plan = sinkhorn(u, v, epsilon=epsilon, cost="cosine", tol=1e-2, max_iter=300, device=device())
            cross = known + rest_x.T @ plan.barycenters(rest_y) / np.float32(len(x))
            yield cross

    def _select(
        self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, axes: tuple[Axes, Axes] | None, seed: int
    ) -> tuple[float, float]:
        """(whiten, power) with the best matching of held-out pairs after TRIAL rounds, in which they take no part.

        Few pairs say nothing, and the first values are taken.
        """
        whitens = WHITENS if self.whiten is None else (self.whiten,)
        powers = POWERS if self.power is None else (self.power,)
        candidates = [(whiten, power) for whiten in whitens for power in powers]
        if too_few(pairs):
            candidates = candidates[:1]

        def scores(kept: np.ndarray, held: np.ndarray) -> list[float]:
            matches = []
            for whiten in whitens:
                u, v = self._whiten(x, y, whiten, axes) if self.whiten is None else (x, y)
                (px, py), given = (u[pairs[held, 0]], v[pairs[held, 1]]), withdraw(u, v, pairs, kept)
                for power in powers:
                    *_, cross = self._rounds(*given, 0, power, TRIAL)
                    left, right = directions(cross, power)
                    matches.append(matching(unit(px @ left), unit(py @ right)))
            return matches

        whiten, power = choose(candidates, scores, pairs, seed, trials=1)
        return float(whiten), float(power)

    def _embed_x(self, x: np.ndarray) -> np.ndarray:
        """Rows along the singular directions, weighted, at unit length: [k, r]."""
        return unit(x @ self.left_)

    def _embed_y(self, y: np.ndarray) -> np.ndarray:
        return unit(y @ self.right_)
