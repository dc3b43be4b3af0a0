"""Hubness: rows that are near to everything, made farther by how near training rows are to them (CSLS)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ngw.methods._selection import folds, speak_against, standing, too_few, withdraw
from ngw.seeds import rng

NEAREST = 10  # training rows, whose mean cosine tells how much of a hub a row is
REFERENCE = 1000  # training rows a side, at most, that a fitted method keeps to look among
BLOCK = 4096  # rows that are compared at a time
MANY = 100  # pairs from which one fold is enough; below, three


@dataclass
class Hubness:
    """What every method's comparison can do about hubs: rows u [n, e], v [m, e] get four coordinates more."""

    # Take it out by CSLS; null: unless held-out pairs speak against it.
    hubness: bool | None = field(default=None, kw_only=True)

    def _without_hubs(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        known: Any = vars(self)
        return without_hubs(u, v, known["x_hubs_"], known["y_hubs_"]) if known.get("hubness_") else (u, v)

    def _learn_hubs(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        """Choose whether hubs are taken out, and keep the training rows that tell them; x, y, pairs: as in `fit`."""
        self.hubness_ = self._choose_hubness(x, y, pairs, seed) if self.hubness is None else self.hubness
        if self.hubness_:
            method: Any = self
            rows = reference(len(x), seed, "x"), reference(len(y), seed, "y")
            hubs = method._embed(method._x(x[rows[0]]), method._y(y[rows[1]]))
            self.x_hubs_, self.y_hubs_ = (z.astype(np.float16) for z in hubs)

    def _choose_hubness(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> bool:
        """Yes, unless pairs that are held out, and withdrawn from both clouds, match worse without hubs.

        It helps nearly everywhere (Conneau et al. 2018), so that a few held-out pairs' noise doesn't decide.
        A method that takes no pairs has none to ask, and leaves hubs in.
        """
        method: Any = self
        if method.supervision == "none" or too_few(pairs):
            return bool(method.supervision != "none")
        gains = []
        for kept, held in folds(pairs, seed)[: 3 if len(pairs) < MANY else 1]:
            twin = copy.copy(method)
            twin.hubness = True
            left, right, known = withdraw(x, y, pairs, kept)
            twin._forget()
            twin._fit(*twin._prepare(left, right, known), seed)  # what is left is given whole
            twin._fitted(left, right, known, seed)
            u, v = twin._embed(
                *(
                    standard(np.concatenate([z[pairs[held, side]], cloud[len(kept) :][:REFERENCE]]))
                    for side, (standard, z, cloud) in enumerate(((twin._x, x, left), (twin._y, y, right)))
                )
            )
            left, right = twin._without_hubs(u, v)
            gains += list(standing(left, right, len(held)) - standing(u, v, len(held)))
        return not speak_against(np.asarray(gains))


def without_hubs(
    u: np.ndarray, v: np.ndarray, known_u: np.ndarray, known_v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows (u' [n, e + 4], v' [m, e + 4]) whose inner product is (2 cos(u, v) - r(u) - r(v)) / 4.

    u [n, e], v [m, e]: unit rows; known_u, known_v: training rows of both sides.  r(u) is the mean cosine of u to the
    NEAREST of known_v, r(v) that of v to those of known_u (Conneau et al. 2018, eq. 3): no query sees another one.
    """
    r, s = nearness(u, known_v)[:, None], nearness(v, known_u)[:, None]
    one, none = np.ones_like, np.zeros_like
    # Two coordinates carry the two means, and one a side brings its rows to the same length.
    left = np.hstack([np.float32(np.sqrt(2)) * u, r, one(r), np.sqrt((1 - r**2).clip(0)), none(r)])
    right = np.hstack([np.float32(np.sqrt(2)) * v, -one(s), -s, none(s), np.sqrt((1 - s**2).clip(0))])
    return left / 2, right / 2


def reference(n: int, seed: int, side: str) -> np.ndarray:
    """Which of n training rows are kept, ascending."""
    return np.sort(rng(seed, "hubness", side).permutation(n)[:REFERENCE])


def nearness(z: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mean cosine of each unit row z [n, e] to the NEAREST of the known unit rows [k, e] of the other side; [n]."""
    count = min(NEAREST, len(known))
    blocks = (z[start : start + BLOCK] @ known.T for start in range(0, len(z), BLOCK))
    return np.concatenate([np.partition(b, -count, axis=1)[:, -count:].mean(1) for b in blocks])
