"""What a map keeps (proposal 2.5): injectivity, surjectivity, smoothness, invertibility, from arrays alone.

z [n, d_a] are held-out rows of the map's domain, T(z) [n, d_b] their images, `target` [m, d_b] rows of its codomain.
No whole n x n matrix is held; all arithmetic is in float64, where equal rows have distance 0 exactly.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ngw.metrics.geometry import neighbours

SAME = 1e-4  # rows nearer than this share of the mean distance are one item: a caption encoded in different batches
NEAREST = 10  # neighbours of the source that count in `collision`
BALL = 5  # neighbours that set a ball's radius (Naeem et al. 2020)


def injectivity(z: np.ndarray, image: np.ndarray, k: int = NEAREST, memory_mb: float = 100) -> dict[str, float]:
    """Whether different rows stay different.

    margin: min_{i, j} |T(z_i) - T(z_j)| over pairs with z_i != z_j, as a share of the mean distance of two images.
    margin_5: the same, but the 5 % quantile over i of min_j.  A constant map has 0 in both.
    collision: share of rows i whose nearest image, argmin_{j != i} |T(z_i) - T(z_j)|, doesn't come from one of the k
        nearest rows of z_i; images that tie share the place, so a constant map has chance, 1 - k / (n - 1).
    """
    z, image = (x - x.mean(axis=0) for x in (_rows(z, "z"), _rows(image, "image")))  # large means cost digits
    if len(z) != len(image) or len(z) <= k:
        raise ValueError(f"expected as many images as rows, and more than k = {k}; found {len(z)} and {len(image)}.")
    same, nearest, total, kept = SAME * _mean_distance(z), [], 0.0, 0.0
    for rows in _blocks(len(z), len(z), memory_mb):
        source, mapped = squared_distances(z[rows], z), squared_distances(image[rows], image)
        total += float(np.sqrt(mapped).sum())
        own = np.arange(len(source)), np.arange(rows.start, rows.stop)
        kept += float((_closest(source, own, k) * _closest(mapped, own, 1)).sum())
        mapped[source <= same**2] = np.inf  # the row itself, and its copies
        nearest.append(np.sqrt(mapped.min(axis=1)))
    margins, mean = np.concatenate(nearest), total / (len(z) * (len(z) - 1))
    margins = margins[np.isfinite(margins)] / mean if mean > 0 else np.zeros(1)
    low = (margins.min(), np.quantile(margins, 0.05)) if len(margins) else (0.0, 0.0)
    return {"margin": float(low[0]), "margin_5": float(low[1]), "collision": 1 - kept / len(z)}


def surjectivity(image: np.ndarray, target: np.ndarray, k: int = BALL, memory_mb: float = 100) -> dict[str, float]:
    """Whether the images fill the codomain. B(p) is the ball around p that reaches its k-th neighbour in p's own cloud.

    precision: share of images in any B(target); recall: share of targets in any B(image) (Kynkaanniemi et al.,
    Improved Precision and Recall Metric, NeurIPS 2019, eq. 1-3).
    coverage: share of targets whose own ball holds an image; density: mean number of target balls that hold an image,
    over k (Naeem et al., Reliable Fidelity and Diversity Metrics, ICML 2020, eq. 4-5).  Two samples of one
    distribution reach coverage `coverage_ceiling(n, m, k)` and density 1.
    """
    image, target = (x - np.mean(target, axis=0, dtype=float) for x in (_rows(image, "image"), _rows(target, "target")))
    if min(len(image), len(target)) <= k:
        raise ValueError(f"k: expected fewer neighbours than rows, found {k} for {len(image)} and {len(target)} rows.")
    around_image, around_target = _radii(image, k, memory_mb), _radii(target, k, memory_mb)
    inside = np.zeros(len(image))  # target balls that hold each image
    covered, recalled = np.zeros(len(target), bool), np.zeros(len(target), bool)
    for rows in _blocks(len(image), len(target), memory_mb):
        distance = squared_distances(image[rows], target)
        held = distance <= around_target
        inside[rows] = held.sum(axis=1)
        covered |= held.any(axis=0)
        recalled |= (distance <= around_image[rows, None]).any(axis=0)
    return {
        "precision": float((inside > 0).mean()),
        "recall": float(recalled.mean()),
        "density": float(inside.mean() / k),
        "coverage": float(covered.mean()),
    }


def coverage_ceiling(n: int, m: int, k: int = BALL) -> float:
    """Expected coverage of m targets by n images of the same distribution: 1 - prod_i (m - i) / (n + m - i), i = 1..k.

    A ball is empty where the k nearest of the other n + m - 1 points are targets (Naeem et al. 2020, lemma 2).
    """
    i = np.arange(1, k + 1)
    return float(1 - np.prod((m - i) / (n + m - i)))


def lipschitz(z: np.ndarray, image: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """|T(z_i) - T(z_j)| / |z_i - z_j| of the pairs [k, 2] whose rows differ, [<= k]."""
    before, after = (_apart(_rows(x, name), pairs) for x, name in ((z, "z"), (image, "image")))
    differ = before > SAME * before.mean()
    return after[differ] / before[differ]


def _apart(x: np.ndarray, pairs: np.ndarray, block: int = 1000) -> np.ndarray:
    """|x_i - x_j| of the pairs, [k]."""
    parts = (pairs[start : start + block] for start in range(0, len(pairs), block))
    return np.concatenate([np.linalg.norm(x[part[:, 0]] - x[part[:, 1]], axis=1) for part in parts])


def singular_values(jacobian: np.ndarray) -> np.ndarray:
    """Singular values [min(d_a, d_b)] in decreasing order, good to 1e-8 of the largest; a tenth of an SVD's time."""
    tall = jacobian.shape[0] >= jacobian.shape[1]
    gram = jacobian.T @ jacobian if tall else jacobian @ jacobian.T
    return np.sqrt(np.linalg.eigvalsh(gram)[::-1].clip(0))


def effective_rank(values: np.ndarray) -> float:
    """exp of the entropy of the singular values' shares, from 1 to their number (Roy and Vetterli, EUSIPCO 2007)."""
    share = values[values > 0] / values.sum() if values.sum() > 0 else np.ones(1)
    return float(np.exp(-(share * np.log(share)).sum()))


def cycle_error(z: np.ndarray, back: np.ndarray) -> float:
    """mean |T'(T(z)) - z|^2 / mean |z - mean z|^2, back = T'(T(z)): 0 for an inverse, 1 for the best constant."""
    z, back = np.asarray(z, np.float64), np.asarray(back, np.float64)
    return float(((back - z) ** 2).sum() / ((z - z.mean(axis=0)) ** 2).sum())


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """|x_i - y_j|^2, [n, m], from float64 rows; what is within rounding of zero is zero (so equal rows tie exactly)."""
    norm_x, norm_y = (x**2).sum(axis=1)[:, None], (y**2).sum(axis=1)
    squared = x @ y.T
    squared *= -2
    squared += norm_x + norm_y
    squared[squared <= _slack(x) * (norm_x + norm_y)] = 0
    return squared


def spread(x: np.ndarray) -> float:
    """Root mean square distance of the rows to their mean: the unit of a space."""
    return float(np.sqrt(((x - x.mean(axis=0, dtype=np.float64)) ** 2).sum(axis=1).mean()))


def _slack(x: np.ndarray) -> float:
    """Rounding of a squared distance, as a share of the two squared norms (Higham 2002, section 3.1)."""
    return (x.shape[1] + 4) * float(np.finfo(np.float64).eps)


def _closest(squared: np.ndarray, own: tuple, k: int) -> np.ndarray:
    """Membership in the k nearest, [rows, n]; a row isn't its own neighbour."""
    scores = -squared
    scores[own] = -np.inf
    return neighbours(scores, k, 0.0)


def _radii(x: np.ndarray, k: int, memory_mb: float) -> np.ndarray:
    """Squared distance of each row to its k-th neighbour, [n]."""
    blocks = _blocks(len(x), len(x), memory_mb)
    # The row itself, at distance 0, is the first of the k + 1.
    return np.concatenate([np.partition(squared_distances(x[rows], x), k, axis=1)[:, k] for rows in blocks])


def _mean_distance(x: np.ndarray) -> float:
    """Mean distance of row i to row i + 1: a sample of all pairs."""
    return float(np.linalg.norm(x - np.roll(x, 1, axis=0), axis=1).mean())


def _blocks(n: int, m: int, memory_mb: float) -> Iterator[slice]:
    """Slices of range(n) such that eight float64 blocks of rows x m fit the memory."""
    size = max(1, int(memory_mb * 2**20 / (8 * 8 * m)))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _rows(x: np.ndarray, name: str) -> np.ndarray:
    """A finite float64 matrix [n, d]."""
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or 0 in x.shape or not np.isfinite(x).all():
        raise ValueError(f"{name}: expected a finite matrix [n, d], found shape {x.shape} or NaN or infinity.")
    return x
