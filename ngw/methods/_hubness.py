"""Hubness: rows near to everything are moved away by their mean similarity to training rows (CSLS)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ngw.methods._selection import folds, speak_against, standing, too_few, withdraw
from ngw.seeds import rng

NEAREST = 10  # nearest training rows, whose mean cosine measures how much of a hub a row is
REFERENCE = 1000  # training rows per side, at most, that a fitted method keeps for it
BLOCK = 4096  # rows that are compared at a time
MANY = 100  # pairs from which one fold is enough; below, three


@dataclass
class Hubness:
    """Removal of hubs from any method's comparison: rows u [n, e], v [m, e] get four more coordinates."""

    # Remove hubs by CSLS; null: unless held-out pairs speak against it.
    hubness: bool | None = field(default=None, kw_only=True)

    def embed(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Both clouds in the space where they are compared: u [k, e], v [l, e], unit rows; score = u @ v.T."""
        return self.embed_x(x), self.embed_y(y)

    def embed_x(self, x: Any) -> np.ndarray:
        """Rows of x's space [k, d_x] where they are compared, [k, e]; each row is independent of the others."""
        method: Any = self
        u = method._embed_x(method._x(x))
        return left(u, method.y_hubs_) if self._hubs_are_out else u

    def embed_y(self, y: Any) -> np.ndarray:
        """Rows of y's space [l, d_y] where they are compared, [l, e]."""
        method: Any = self
        v = method._embed_y(method._y(y))
        return right(v, method.x_hubs_) if self._hubs_are_out else v

    @property
    def _hubs_are_out(self) -> bool:
        return bool(vars(self).get("hubness_"))

    def _embed(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both sides, in the coordinates of the maps, with their hubs."""
        method: Any = self
        return method._embed_x(x), method._embed_y(y)

    def _learn_hubs(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        """Choose whether hubs are removed, and keep the training rows that reveal them; x, y, pairs: as in `fit`."""
        self.hubness_ = self._choose_hubness(x, y, pairs, seed) if self.hubness is None else self.hubness
        if self.hubness_:
            method: Any = self
            rows = reference(len(x), seed, "x"), reference(len(y), seed, "y")
            hubs = method._embed(method._x(x[rows[0]]), method._y(y[rows[1]]))
            self.x_hubs_, self.y_hubs_ = (z.astype(np.float16) for z in hubs)

    def _choose_hubness(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> bool:
        """Yes, unless pairs that are held out, and withdrawn from both clouds, match worse without hubs.

        Removal helps nearly everywhere (Conneau et al. 2018), so the noise of a few held-out pairs must not decide.
        The fit without those pairs keeps the options that the method has already chosen.
        A method that takes no pairs has none to hold out, and keeps its hubs.
        """
        method: Any = self
        if method.supervision == "none" or too_few(pairs):
            return bool(method.supervision != "none")
        gains = []
        for kept, held in folds(pairs, seed)[: 3 if len(pairs) < MANY else 1]:
            twin = copy.copy(method)
            vars(twin).update({"hubness": True} | _chosen(method))
            *rest, known = withdraw(x, y, pairs, kept)
            twin._forget()
            twin._fit(*twin._prepare(*rest, known), seed)  # the input is already reduced
            twin._fitted(*rest, known, seed)
            u, v = twin._embed(
                *(
                    standard(np.concatenate([z[pairs[held, side]], cloud[len(kept) :][:REFERENCE]]))
                    for side, (standard, z, cloud) in enumerate(zip((twin._x, twin._y), (x, y), rest, strict=True))
                )
            )
            apart = without_hubs(u, v, twin.x_hubs_, twin.y_hubs_)
            gains += list(standing(*apart, len(held)) - standing(u, v, len(held)))
        return not speak_against(np.asarray(gains))


def _chosen(method: Any) -> dict[str, Any]:
    """The options that are null and were chosen in the fit (`steps` as `steps_`), with their choice."""
    open_ = [name for name, value in method.params().items() if value is None and name != "hubness"]
    return {name: vars(method)[f"{name}_"] for name in open_ if f"{name}_" in vars(method)}


def without_hubs(
    u: np.ndarray, v: np.ndarray, known_u: np.ndarray, known_v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows (u' [n, e + 4], v' [m, e + 4]) whose inner product is (2 cos(u, v) - r(u) - r(v)) / 4.

    u [n, e], v [m, e]: unit rows; known_u, known_v: training rows of both sides.  r(u) is the mean cosine of u to the
    NEAREST of known_v, r(v) that of v to those of known_u (Conneau et al. 2018, eq. 3): queries are independent.
    """
    return left(u, known_v), right(v, known_u)


def left(u: np.ndarray, known_v: np.ndarray) -> np.ndarray:
    """u' of `without_hubs`.  Two coordinates carry the two means, and one per side gives its rows the same length."""
    r = nearness(u, known_v)[:, None]
    rest = [r, np.ones_like(r), np.sqrt((1 - r**2).clip(0)), np.zeros_like(r)]
    return np.hstack([np.float32(np.sqrt(2)) * u, *rest]) / 2


def right(v: np.ndarray, known_u: np.ndarray) -> np.ndarray:
    """v' of `without_hubs`."""
    s = nearness(v, known_u)[:, None]
    rest = [-np.ones_like(s), -s, np.zeros_like(s), np.sqrt((1 - s**2).clip(0))]
    return np.hstack([np.float32(np.sqrt(2)) * v, *rest]) / 2


def reference(n: int, seed: int, side: str) -> np.ndarray:
    """Which of n training rows are kept, ascending."""
    return np.sort(rng(seed, "hubness", side).permutation(n)[:REFERENCE])


def nearness(z: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mean cosine of each unit row z [n, e] to the NEAREST of the known unit rows [k, e] of the other side; [n]."""
    count = min(NEAREST, len(known))
    blocks = (z[start : start + BLOCK] @ known.T for start in range(0, len(z), BLOCK))
    return np.concatenate([np.partition(b, -count, axis=1)[:, -count:].mean(1) for b in blocks])
