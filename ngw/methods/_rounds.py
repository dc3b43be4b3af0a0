"""Rounds of plans between large clouds: in fewer coordinates, and all except the last are rough hints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ngw.methods._clouds import blocks
from ngw.methods._transport import SinkhornOptions
from ngw.methods.base import in_both_spaces
from ngw.seeds import rng

HINT = 0.03  # L1 error of a hint's marginals
BLUR, BLUR_OF_HINTS = 0.01, 0.05  # root mean square error of exponents, from fewer coordinates
LEAST = 1e-9  # of the largest eigenvalue: smaller directions hold nothing


class InBoth:
    """Unit rows [n, d_y + d_x] of one side in both spaces (`in_both_spaces`), computed on request.

    z [n, d]: the side's rows, of x or of y; w, b: the map to the other side.
    """

    def __init__(self, z: np.ndarray, w: np.ndarray, b: np.ndarray, of_x: bool) -> None:
        self.z, self.w, self.b, self.of_x = z, w, b, of_x

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, rows: slice) -> np.ndarray:
        here = self.z[rows]
        there = here @ self.w + self.b
        return in_both_spaces(there, here) if self.of_x else in_both_spaces(here, there)


Side = np.ndarray | InBoth  # unit rows [n, e]


def drawn(n: int, known: np.ndarray, count: int, seed: int, side: str) -> np.ndarray:
    """The rows of a cloud of n that a hint's maps are fitted to: the known ones, and `count` of the others."""
    return np.union1d(known, rng(seed, "rounds", side).permutation(np.setdiff1d(np.arange(n), known))[:count])


def narrowed(
    space: tuple[Side, Side], options: SinkhornOptions, hint: bool, most: int
) -> tuple[tuple[np.ndarray, np.ndarray], SinkhornOptions, float]:
    """(unit rows in fewer coordinates, at most `most` + 2; the options of the same plan between them; scale).

    The cost C between the rows of `space` is scale C' + 1 - scale, up to the exponents' blur; C' is the new rows' cost.
    """
    short, scale = cut(space, options.epsilon * (BLUR_OF_HINTS if hint else BLUR), most)
    mean_u, mean_v = (z.mean(0, dtype=np.float64) for z in short)
    inner = scale * float(mean_u @ mean_v)
    epsilon = options.epsilon * (1 - inner) / (scale - inner)  # in units of the mean cost, before and after
    return short, replace(options, epsilon=epsilon), scale


def cut(space: tuple[Side, Side], error: float, most: int) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """(unit rows (u' [n, r + 2], v' [m, r + 2]), scale) such that u v' = scale u' v'', up to an error.

    The matrix of products, of rank e, is cut to its largest singular values, those of S_u' S_v, where S_u S_u' is the
    second moment of u (balanced truncation; Moore 1981): to the fewest, r, that leave a root mean square of `error`,
    `most` of them at most.  Two more coordinates, each of one side alone, bring all rows to one length.
    """
    sides = []
    for z in space:
        moment = sum((part.T @ part).astype(np.float64) for part in (z[rows] for rows in blocks(len(z))))
        values, vectors = np.linalg.eigh(moment / len(z))
        kept = values > LEAST * values[-1]
        sides.append((vectors[:, kept], np.sqrt(values[kept])))
    (p, s), (q, t) = sides
    left, singular, right = np.linalg.svd((p * s).T @ (q * t), full_matrices=False)
    rest = np.sqrt(np.cumsum(singular[::-1] ** 2))[::-1]  # [e]: of the products, where so many singular values are kept
    r = max(1, min(int((rest > error).sum()), most))
    root = np.sqrt(singular[:r])
    axes = (p / s) @ left[:, :r] * root, (q / t) @ right[:r].T * root
    short = [np.zeros((len(z), r + 2), np.float32) for z in space]
    for z, a, new in zip(space, axes, short, strict=True):
        for rows in blocks(len(z)):
            new[rows, :r] = z[rows] @ a.astype(np.float32)
    squares = [np.einsum("ij,ij->i", z, z) for z in short]
    scale = float(max(square.max() for square in squares))
    for new, square, place in zip(short, squares, (r, r + 1), strict=True):
        new /= np.float32(np.sqrt(scale))
        new[:, place] = np.sqrt((1 - square / scale).clip(0))
    return (short[0], short[1]), scale
