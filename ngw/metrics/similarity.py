"""How alike two spaces are before any alignment, against what permuted pairs reach: CKA and mutual nearest neighbours.

Each measure here is an inner product <K, L> = sum_ij K_ij L_ij of one n x n matrix a space, and a permutation of one
side's rows only reorders the entries of its matrix. So the matrices are computed once, for all permutations.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ngw.metrics.geometry import cosine_neighbours, paired, unit_rows

LEVEL = 0.05  # of the critical value
K = 10  # neighbours


@dataclass(frozen=True)
class Calibrated:
    """A similarity beside its permutation null (Groeger, Wen and Brbic, Revisiting the Platonic Representation
    Hypothesis: An Aristotelian View, ICML 2026, algorithm 1, for p, critical and calibrated)."""

    value: float
    null_mean: float
    null_std: float
    excess: float  # value - null_mean
    z: float | None  # excess in units of null_std; None where the null doesn't vary
    p: float  # (1 + #{null >= value}) / (1 + permutations), one-sided
    critical: float  # the ceil((1 - LEVEL) (permutations + 1))-th smallest of the value and the null together
    calibrated: float  # max(0, (value - critical) / (1 - critical)): 0 where permuted pairs reach as much, 1 at most
    permutations: int


def similarity(
    x: np.ndarray, y: np.ndarray, stream: np.random.Generator, permutations: int = 200, k: int = K
) -> dict[str, dict]:
    """Calibrated `cka`, `cka_debiased` and `mutual_neighbours_{k}` of paired rows, as `Calibrated` fields by name.

    All three see the same permutations.  Memory: about five n x n float64 matrices.

    Args:
        x: [n, d_x], rows of a space, finite, n >= 4, n > k.
        y: [n, d_y], their partners in another.
        stream: draws the permutations.
    """
    x, y = paired(x, y)
    if len(x) < 4 or not 1 <= k < len(x):
        raise ValueError(f"expected 4 pairs or more, and more than k = {k}; found {len(x)}.")
    if permutations < 1:
        raise ValueError(f"permutations: expected 1 or more, found {permutations}.")
    orders = [stream.permutation(len(x)) for _ in range(permutations)]
    measures = {
        "cka": lambda z: _normed(centred_gram(z)),
        "cka_debiased": lambda z: _normed(u_centred_gram(z)),
        f"mutual_neighbours_{k}": lambda z: cosine_neighbours(unit_rows(z, "features"), k) / np.sqrt(k * len(z)),
    }
    return {name: asdict(calibrate(*null(measure(x), measure(y), orders))) for name, measure in measures.items()}


def null(a: np.ndarray, b: np.ndarray, orders: list[np.ndarray]) -> tuple[float, np.ndarray]:
    """(<a, b>, [<a, b permuted>, one per order]) of two n x n matrices; rows and columns are permuted alike."""
    rows, columns = np.nonzero(a)
    value = float((a * b).sum())
    if 4 * len(rows) < a.size:  # neighbours: only k entries a row count
        weights = a[rows, columns]
        return value, np.array([weights @ b[order[rows], order[columns]] for order in orders])
    return value, np.array([np.vdot(a, b[order].take(order, axis=1)) for order in orders])


def calibrate(value: float, null: np.ndarray) -> Calibrated:
    """A value, at most 1, against its permutation null [permutations]."""
    mean, std = float(null.mean()), float(null.std(ddof=1)) if len(null) > 1 else 0.0
    slack = 1e-12  # what summation order can change
    together = np.sort(np.append(null, value))
    critical = float(together[int(np.ceil((1 - LEVEL) * len(together) - 1e-9)) - 1])
    return Calibrated(
        value=value,
        null_mean=mean,
        null_std=std,
        excess=value - mean,
        z=(value - mean) / std if std > slack else None,
        p=float((1 + (null >= value - slack).sum()) / len(together)),
        critical=critical,
        calibrated=float(np.clip((value - critical) / max(1 - critical, slack), 0, 1)),
        permutations=len(null),
    )


def centred_gram(x: np.ndarray) -> np.ndarray:
    """x x' of a centred cloud, [n, n]: the normed inner product of two is linear CKA (Kornblith et al. 2019)."""
    x = x - x.mean(axis=0)
    return x @ x.T


def u_centred_gram(x: np.ndarray) -> np.ndarray:
    """x x' without its diagonal, U-centred, [n, n], so that <K, L> / (n (n - 3)) is the unbiased HSIC.

    Song et al., Feature Selection via Dependence Maximization, JMLR 2012, eq. 4, in the form of Szekely and Rizzo,
    Partial Distance Correlation, Annals of Statistics 2014, definition 2.  Without it, CKA grows with width.
    """
    n, gram = len(x), centred_gram(x)
    np.fill_diagonal(gram, 0)
    mean = gram.sum(axis=0) / (n - 2)
    gram += gram.sum() / ((n - 1) * (n - 2)) - mean - mean[:, None]
    np.fill_diagonal(gram, 0)
    return gram


def _normed(gram: np.ndarray) -> np.ndarray:
    """The matrix at Frobenius norm 1."""
    norm = np.linalg.norm(gram)
    if not norm > 0:
        raise ValueError("similarity isn't defined where all rows of a cloud are equal.")
    return gram / norm
