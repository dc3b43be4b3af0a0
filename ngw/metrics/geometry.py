"""How alike two point clouds are: FOSCTTM (in one space), linear CKA and mutual nearest neighbours (across spaces)."""

from __future__ import annotations

import numpy as np

from ngw.metrics.retrieval import ranks


def foscttm(x: np.ndarray, y: np.ndarray) -> float:
    """Fraction of samples closer than the true match, mean of both directions: 0 is perfect, 0.5 is chance.

    Row i of `x` and row i of `y` are a pair; closer means a smaller Euclidean distance, and a distance that is the same
    counts half, so that constant clouds have 0.5 (Liu et al., Jointly embedding multiple single-cell omics
    measurements, WABI 2019). Points and their squared norms are rounded to float32 first.

    Args:
        x, y: [n, d], two clouds in one space, n >= 2, finite.
    """
    x, y = paired(x, y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"foscttm compares points of one space, found widths {x.shape[1]} and {y.shape[1]}.")
    mean = (x.mean(axis=0) + y.mean(axis=0)) / 2  # the origin doesn't matter, but float32 likes small numbers
    x, y = x - mean, y - mean
    one, norm_x, norm_y = np.ones((len(x), 1)), (x**2).sum(axis=1, keepdims=True), (y**2).sum(axis=1, keepdims=True)
    # -|x - y|^2 is a dot product of lifted points, so retrieval's exact blockwise ranks serve here too.
    lifted = np.hstack([2 * x, -norm_x, one]), np.hstack([y, one, -norm_y])
    forward, backward = ranks(*lifted, np.arange(len(x)))
    return float((np.concatenate([forward, backward]).mean() - 1) / (len(x) - 1))


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear centred kernel alignment: |Yc'Xc|^2 / (|Xc'Xc| |Yc'Yc|), Frobenius norms of centred clouds, from 0 to 1.

    It doesn't change under rotation and one common scale of either cloud (Kornblith et al., Similarity of Neural
    Network Representations Revisited, ICML 2019, section 3).

    Args:
        x, y: [n, d_x], [n, d_y], paired rows of two spaces, n >= 2, finite, not constant.
    """
    x, y = paired(x, y)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale_x, scale_y = _gram_product(x, x), _gram_product(y, y)
    if not (scale_x > 0 and scale_y > 0):
        raise ValueError(f"linear CKA isn't defined where all rows of {'y' if scale_x > 0 else 'x'} are equal.")
    return float(_gram_product(x, y) / np.sqrt(scale_x * scale_y))


def _gram_product(x: np.ndarray, y: np.ndarray) -> float:
    """Trace of (x x')(y y'), that is |y'x|^2, by the smaller of the two routes."""
    if len(x) < min(x.shape[1], y.shape[1]):
        return float(((x @ x.T) * (y @ y.T)).sum())
    return float(((y.T @ x) ** 2).sum())


def mutual_neighbours(x: np.ndarray, y: np.ndarray, k: int = 10, memory_mb: float = 100) -> float:
    """Mean share of the k nearest neighbours (by cosine) that a sample has in common in both spaces; k/(n-1) is chance.

    Huh et al., The Platonic Representation Hypothesis, ICML 2024, appendix A. Samples that tie for the last places
    share them in equal parts (what random tie-breaking gives on average), so constant features give chance too.

    Args:
        x, y: [n, d_x], [n, d_y], paired rows of two spaces, finite, no row zero.
        k: neighbours, 1 <= k < n.
    """
    x, y = paired(x, y)
    if not 1 <= k < len(x):
        raise ValueError(f"k: expected 1 to {len(x) - 1} neighbours for {len(x)} samples, found {k}.")
    x, y = unit_rows(x, "x"), unit_rows(y, "y")
    block = max(1, int(memory_mb * 2**20 / (6 * 8 * len(x))))  # about six float64 rows of n stand at a time
    shared = 0.0
    for start in range(0, len(x), block):
        rows = np.arange(start, min(start + block, len(x)))
        shared += float((cosine_neighbours(x, rows, k) * cosine_neighbours(y, rows, k)).sum())
    return shared / (k * len(x))


def cosine_neighbours(x: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """`neighbours` of some rows of a cloud of unit float64 rows x [n, d], by cosine; [rows, n]."""
    scores = x[rows] @ x.T
    scores[np.arange(len(rows)), rows] = -np.inf  # nobody is one's own neighbour
    return neighbours(scores, k, (x.shape[1] + 2) * np.finfo(np.float64).eps)  # of two dot products of unit vectors


def neighbours(scores: np.ndarray, k: int, slack: float) -> np.ndarray:
    """[rows, n] in [0, 1]: whether each column is among a row's k highest scores; each line sums to k.

    Scores that differ by `slack` at most are a tie, and those that tie for the last places share them in equal parts.
    """
    last = np.partition(scores, -k, axis=1)[:, -k, None]
    above = scores > last + slack
    equal = (scores >= last - slack) ^ above
    places = k - above.sum(axis=1, keepdims=True)
    return above + equal * (places / equal.sum(axis=1, keepdims=True))


def paired(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two float64 matrices with equally many rows, two or more, all finite."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < 2:
        raise ValueError(f"expected two matrices with the same number of rows, 2 or more; found {x.shape}, {y.shape}.")
    for name, cloud in (("x", x), ("y", y)):
        bad = np.flatnonzero(~np.isfinite(cloud).all(axis=1))
        if bad.size:
            raise ValueError(f"{name}: row {bad[0]} isn't finite ({bad.size} of {len(cloud)} rows are bad).")
    return x, y


def unit_rows(x: np.ndarray, name: str) -> np.ndarray:
    """Rows scaled to length 1."""
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    if not norms.all():
        raise ValueError(f"{name}: row {np.flatnonzero(norms == 0)[0]} is zero and has no cosine.")
    return x / norms
