"""Rounds of plans between large clouds: in fewer coordinates, and all but the last one are hints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ngw.methods._transport import SinkhornOptions
from ngw.seeds import rng

HINT = 0.03  # L1 error of a hint's marginals
BLUR, BLUR_OF_HINTS = 0.01, 0.05  # root mean square error of exponents, from fewer coordinates
LEAST = 1e-9  # of the largest eigenvalue: directions below hold nothing

Space = tuple[np.ndarray, np.ndarray]  # unit rows u [n, e], v [m, e]


def drawn(n: int, known: np.ndarray, count: int, seed: int, side: str) -> np.ndarray:
    """The rows of a cloud of n that a hint's maps are fitted to: the known ones, and `count` of the others."""
    return np.union1d(known, rng(seed, "rounds", side).permutation(np.setdiff1d(np.arange(n), known))[:count])


def narrowed(space: Space, options: SinkhornOptions, hint: bool, most: int) -> tuple[Space, SinkhornOptions, float]:
    """(unit rows of fewer coordinates, `most` and two at most; the options of the same plan between them; scale).

    The cost C between the rows of `space` is scale C' + 1 - scale, up to the exponents' blur, C' that between the new.
    """
    short, scale = cut(space, options.epsilon * (BLUR_OF_HINTS if hint else BLUR), most)
    inner = scale * float(short[0].mean(0) @ short[1].mean(0))
    epsilon = options.epsilon * (1 - inner) / (scale - inner)  # in units of the mean cost, before and after
    return short, replace(options, epsilon=epsilon), scale


def cut(space: Space, error: float, most: int) -> tuple[Space, float]:
    """(unit rows (u' [n, r + 2], v' [m, r + 2]), scale) such that u v' = scale u' v'', up to an error.

    The matrix of products, of rank e, is cut to its largest singular values, those of S_u' S_v, where S_u S_u' is the
    second moment of u (balanced truncation; Moore 1981): to the fewest, r, that leave a root mean square of `error`,
    `most` of them at most.  Two more coordinates, each of one side alone, bring all rows to one length.
    """
    sides = []
    for z in space:
        values, vectors = np.linalg.eigh((z.T @ z).astype(np.float64) / len(z))
        kept = values > LEAST * values[-1]
        sides.append((vectors[:, kept], np.sqrt(values[kept])))
    (p, s), (q, t) = sides
    left, singular, right = np.linalg.svd((p * s).T @ (q * t), full_matrices=False)
    rest = np.sqrt(np.cumsum(singular[::-1] ** 2))[::-1]  # [e]: of the products, where so many singular values are kept
    r = max(1, min(int((rest > error).sum()), most))
    root = np.sqrt(singular[:r])
    axes = (p / s) @ left[:, :r] * root, (q / t) @ right[:r].T * root
    short = [z @ a.astype(z.dtype) for z, a in zip(space, axes, strict=True)]
    squares = [np.einsum("ij,ij->i", z, z) for z in short]
    scale = float(max(square.max() for square in squares))
    u, v = (np.pad(z, ((0, 0), (0, 2))) for z in short)
    for z, place, square in ((u, -2, squares[0]), (v, -1, squares[1])):
        z /= np.float32(np.sqrt(scale))
        z[:, place] = np.sqrt((1 - square / scale).clip(0))
    return (u, v), scale
