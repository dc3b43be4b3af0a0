"""Rounds of plans between large clouds: in fewer coordinates, and all except the last are rough hints."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from ngw.methods._clouds import Cloud, Computed, blocks
from ngw.methods._transport import SinkhornOptions
from ngw.methods.base import in_both_spaces
from ngw.seeds import rng

HINT = 0.03  # L1 error of a hint's marginals
BLUR, BLUR_OF_HINTS = 0.01, 0.05  # root mean square error of exponents, from fewer coordinates
LEAST = 1e-9  # of the largest eigenvalue: smaller directions hold nothing


def in_both(z: Cloud, w: np.ndarray, b: np.ndarray, of_x: bool) -> Computed:
    """Unit rows [n, d_y + d_x] of one side in both spaces (`in_both_spaces`), computed on request.

    z [n, d]: the side's rows, of x or of y; w, b: the map to the other side.
    """

    def make(here: np.ndarray) -> np.ndarray:
        there = here @ w + b
        return in_both_spaces(there, here) if of_x else in_both_spaces(here, there)

    return Computed(z, make)


def drawn(x: Cloud, y: Cloud, pairs: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """The rows of both clouds that a hint's maps are fitted to: the known ones, and `count` of the others each."""
    rows = []
    for z, known, side in zip((x, y), pairs.T, "xy", strict=True):
        others = np.setdiff1d(np.arange(len(z)), known)
        rows.append(np.union1d(known, rng(seed, "rounds", side).permutation(others)[:count]))
    return rows


def narrowed(
    space: tuple[Cloud, Cloud], options: SinkhornOptions, hint: bool, most: int
) -> tuple[tuple[Computed, Computed], SinkhornOptions, float]:
    """(unit rows in fewer coordinates, at most `most` + 2; the options of the same plan between them; scale).

    The cost C between the rows of `space` is scale C' + 1 - scale, up to the exponents' blur; C' is the new rows' cost.
    """
    short, scale, inner = cut(space, options.epsilon * (BLUR_OF_HINTS if hint else BLUR), most)
    epsilon = options.epsilon * (1 - inner) / (scale - inner)  # in units of the mean cost, before and after
    return short, replace(options, epsilon=epsilon), scale


def cut(space: tuple[Cloud, Cloud], error: float, most: int) -> tuple[tuple[Computed, Computed], float, float]:
    """(unit rows (u' [n, r + 2], v' [m, r + 2]), scale, mean product) such that u v' = scale u' v'', up to an error.

    The matrix of products, of rank e, is cut to its largest singular values, those of S_u' S_v, where S_u S_u' is the
    second moment of u (balanced truncation; Moore 1981): to the fewest, r, that leave a root mean square of `error`,
    `most` of them at most.  Two more coordinates, each of one side alone, bring all rows to one length.
    """
    sides, means = [], []
    for z in space:
        moment, total = np.zeros((z.shape[1],) * 2), np.zeros(z.shape[1])
        for part in (z[rows] for rows in blocks(len(z))):
            moment += part.T @ part
            total += part.sum(0, dtype=np.float64)
        values, vectors = np.linalg.eigh(moment / len(z))
        kept = values > LEAST * values[-1]
        sides.append((vectors[:, kept], np.sqrt(values[kept])))
        means.append(total / len(z))
    (p, s), (q, t) = sides
    left, singular, right = np.linalg.svd((p * s).T @ (q * t), full_matrices=False)
    rest = np.sqrt(np.cumsum(singular[::-1] ** 2))[::-1]  # [e]: of the products, where so many singular values are kept
    r = max(1, min(int((rest > error).sum()), most))
    root = np.sqrt(singular[:r])
    axes = (p / s) @ left[:, :r] * root, (q / t) @ right[:r].T * root
    inner = float((means[0] @ axes[0]) @ (means[1] @ axes[1]))
    narrow = [Computed(z, partial(project, axes=a.astype(np.float32))) for z, a in zip(space, axes, strict=True)]
    scale = max(float(squares(z[rows]).max()) for z in narrow for rows in blocks(len(z)))
    u, v = (Computed(z, partial(lengthened, scale=scale, place=k)) for k, z in enumerate(narrow))
    return (u, v), scale, inner


def project(z: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Rows [k, e] along axes [e, r]."""
    return z @ axes


def squares(z: np.ndarray) -> np.ndarray:
    """Square lengths [k] of rows [k, r]."""
    return np.einsum("ij,ij->i", z, z)


def lengthened(z: np.ndarray, scale: float, place: int) -> np.ndarray:
    """Unit rows [k, r + 2] of rows [k, r] whose square lengths are at most `scale`: the rest stands in one of two."""
    new = np.zeros((len(z), z.shape[1] + 2), np.float32)
    new[:, :-2] = z / np.float32(np.sqrt(scale))
    new[:, place - 2] = np.sqrt((1 - squares(z) / scale).clip(0))
    return new
