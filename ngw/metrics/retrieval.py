"""Cross-modal retrieval: exact ranks by counting, tile by tile, and Recall@K, MRR and median rank from them.

Which Recall@K this is: CLIP's. A query counts as found if any of its true partners is among the K best candidates. An
image's rank is the rank of its best own caption among all captions, where its other own captions don't count as rivals;
a caption's rank is the rank of its own image among all images. Equal scores share the middle of their places, which can
be a half (mid-rank): a true partner that ties with one rival for the first place has rank 1.5 and isn't found at K = 1.
Constant features put every query in the middle, so that R@K is 0 (of more than 2 K - 1 candidates), neither 1 nor
chance; median rank and FOSCTTM are those of guessing where a query has one match.

Ranks are those of exact arithmetic on the float32 features, not of one BLAS's last bits. A dot product of length d,
summed in any order, is wrong by at most d r |x||y|, where r is the unit roundoff (Higham, Accuracy and Stability of
Numerical Algorithms, 2002, section 3.1). So a float32 product decides every candidate that is further than that from
the true partner, and the few that are nearer are computed again in float64; what float64 can't tell apart is a tie.
Duplicates tie exactly, whatever the tiles are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

CUTOFFS = (1, 5, 10)
FOLDS, FOLD = 5, 1000
FOLDED = tuple(f"{way}_recall_{k}_1k" for way in ("i2t", "t2i") for k in CUTOFFS)  # metrics of `folded`
_BYTES_PER_SCORE = 48  # float32 score, masks, and in the worst case (all nearly equal) float64 scores and two indices
_MAX_SIDE = 1024  # larger tiles leave the cache and gain nothing; counts within a tile fit 16 bits


def ranks(u: np.ndarray, v: np.ndarray, owner: np.ndarray, memory_mb: float = 100) -> tuple[np.ndarray, np.ndarray]:
    """Rank of the true partner of every image and of every caption; 1 is best, ties take the middle place.

    Args:
        u: float32 [n_images, d], image features; a pair's score is the dot product u @ v.T, higher is closer, any sign.
        v: float32 [n_captions, d], caption features in the same space.
        owner: int [n_captions], row in `u` of each caption's image; every image owns one caption or more.
        memory_mb: bound of the working memory beside `u` and `v`; the n_images x n_captions scores are never whole.

    Returns:
        (i2t float64 [n_images], t2i float64 [n_captions]): 1 + number of better candidates + half the number that tie.

    Raises:
        ValueError: shapes or owners that don't fit, or a feature that isn't finite (side and row are named).
    """
    u, v = _features(u, "image"), _features(v, "caption")
    owner = _owners(owner, u, v)
    norm_u, norm_v = _norms(u, "image"), _norms(v, "caption")
    if norm_u.max() * norm_v.max() > np.finfo(np.float32).max:
        raise ValueError(f"scores up to {norm_u.max() * norm_v.max():.1e} overflow float32; scale the features.")
    own = _dots(u, v, owner, np.arange(len(v)))  # [n_captions], score with the own image
    best = np.full(len(u), -np.inf)
    np.maximum.at(best, owner, own)
    images = _Side(best, norm_u * norm_v.max(), u.shape[1], axis=0)
    captions = _Side(own, norm_v * norm_u.max(), u.shape[1], axis=1)

    side = min(_MAX_SIDE, max(1, int((memory_mb * 2**20 / _BYTES_PER_SCORE) ** 0.5)))
    scores = np.empty(side * side, np.float32)
    for rows in _blocks(len(u), side):
        for cols in _blocks(len(v), side):
            tile = scores[: (rows.stop - rows.start) * (cols.stop - cols.start)].reshape(rows.stop - rows.start, -1)
            np.matmul(u[rows], v[cols].T, out=tile)
            inside = np.flatnonzero((owner[cols] >= rows.start) & (owner[cols] < rows.stop))
            tile[owner[cols][inside] - rows.start, inside] = -np.inf  # own pairs are no rivals, in either direction
            images.count(tile, u[rows], v[cols], rows)
            captions.count(tile, u[rows], v[cols], cols)
    return images.ranks(), captions.ranks()


class _Side:
    """Running counts of one direction: how many candidates beat, and how many tie with, each query's true partner."""

    def __init__(self, target: np.ndarray, scale: np.ndarray, d: int, axis: int):
        """target: float64 [n], score of the true partner. scale: [n], bound of |x||y|. axis: of queries in a tile."""
        single, double = np.finfo(np.float32), np.finfo(np.float64)
        self.target, self.axis = target, axis
        # eps is two unit roundoffs; d + 2: target and threshold are rounded too; below `tiny` accuracy is absolute.
        self.slack32 = (d + 2) * (single.eps / 2 * scale + single.tiny)
        self.slack64 = (d + 2) * double.eps * scale  # target and candidate are both rounded: twice the bound
        self.above = np.zeros(len(target))
        self.equal = np.zeros(len(target))

    def count(self, tile: np.ndarray, u: np.ndarray, v: np.ndarray, queries: slice) -> None:
        """Add the candidates of one tile, `tile` = u @ v.T with -inf at own pairs."""
        target, slack = self.target[queries], self.slack32[queries]
        shape = (-1, 1) if self.axis == 0 else (1, -1)
        above = tile > (target + slack).astype(np.float32).reshape(shape)
        near = tile >= (target - slack).astype(np.float32).reshape(shape)
        near ^= above
        self.above[queries] += above.view(np.uint8).sum(axis=1 - self.axis, dtype=np.uint16)
        flat = np.flatnonzero(near)  # ten times faster than nonzero of a matrix
        if flat.size:
            i, j = np.divmod(flat, tile.shape[1])
            query = j if self.axis else i
            excess = _exact(u, v, i, j) - target[query]
            slack = self.slack64[queries][query]
            self.above[queries] += np.bincount(query[excess > slack], minlength=len(target))
            self.equal[queries] += np.bincount(query[np.abs(excess) <= slack], minlength=len(target))

    def ranks(self) -> np.ndarray:
        """Mid-ranks, float64 [n]."""
        return 1 + self.above + self.equal / 2


def _exact(u: np.ndarray, v: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Float64 scores of the pairs (i, j): one by one where they are few, from one product where they are many."""
    if 32 * i.size < len(u) * len(v):
        return _dots(u, v, i, j)
    return (u.astype(np.float64) @ v.T.astype(np.float64))[i, j]


def _dots(u: np.ndarray, v: np.ndarray, i: np.ndarray, j: np.ndarray, block: int = 1024) -> np.ndarray:
    """Float64 dot products of rows i of u with rows j of v, a block of pairs at a time."""
    dots = np.empty(len(i))
    for part in _blocks(len(i), block):
        dots[part] = np.einsum("nd,nd->n", u[i[part]].astype(np.float64), v[j[part]].astype(np.float64))
    return dots


def _blocks(n: int, size: int) -> Iterator[slice]:
    """Slices that cover range(n), each `size` long except the last."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _features(x: np.ndarray, name: str) -> np.ndarray:
    """`x` as a float32 matrix that isn't empty."""
    x = np.asarray(x, np.float32)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{name} features: expected a matrix [n, d] with n, d >= 1, found shape {x.shape}.")
    return x


def _norms(x: np.ndarray, name: str) -> np.ndarray:
    """Euclidean norms in float64 [n]; a row that isn't finite is named (no temporary as large as `x`)."""
    norms = np.sqrt(np.einsum("nd,nd->n", x, x, dtype=np.float64))
    bad = np.flatnonzero(~np.isfinite(norms))
    if bad.size:
        value = x[bad[0]][~np.isfinite(x[bad[0]])][0]
        raise ValueError(
            f"{name} features: row {bad[0]} holds {value}, expected finite numbers"
            f" ({bad.size} of {len(x)} rows are bad); check the map or the feature file that made it."
        )
    return norms


def _owners(owner: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """`owner` checked against the features' shapes; every image must own a caption."""
    n, m, owner = len(u), len(v), np.asarray(owner)
    if u.shape[1] != v.shape[1]:
        raise ValueError(f"images are {u.shape[1]} wide and captions {v.shape[1]}; map one into the other's space.")
    if owner.shape != (m,) or not np.issubdtype(owner.dtype, np.integer):
        raise ValueError(f"owner: expected {m} integers, one a caption, found {owner.dtype} of shape {owner.shape}.")
    if owner.min() < 0 or owner.max() >= n:
        raise ValueError(f"owner: expected image rows 0 to {n - 1}, found {owner.min()} to {owner.max()}.")
    lonely = np.flatnonzero(np.bincount(owner, minlength=n) == 0)
    if lonely.size:
        raise ValueError(f"image {lonely[0]} owns no caption ({lonely.size} of {n} images); leave such images out.")
    return owner


def recall_at(ranks: np.ndarray, k: int) -> float:
    """Share of queries whose true partner is among the K best: mean(rank <= k), a fraction."""
    return float(np.mean(np.asarray(ranks) <= k))


def mean_reciprocal_rank(ranks: np.ndarray) -> float:
    """Mean of 1 / rank, in (0, 1]."""
    return float(np.mean(1 / np.asarray(ranks)))


def median_rank(ranks: np.ndarray) -> float:
    """Median of the ranks; 1 is best.

    An even number of queries has the mean of the middle two, and ranks that tie end in a half: it can end in .25, .5 or
    .75. (VSE++ and its successors print the floor.)
    """
    return float(np.median(ranks))


def foscttm(mean_rank: np.ndarray | float, candidates: int) -> np.ndarray | float:
    """Fraction of candidates closer than the true match (Liu et al. 2019), from a mean rank; 0 is best.

    A candidate that ties counts half. Guessing reaches 1/2 where a query has one match. With c matches the closest one
    counts and the others are further candidates, so guessing does better: 1 / (c + 1) among many candidates.
    """
    return (mean_rank - 1) / max(candidates - 1, 1)


def summary(i2t: np.ndarray, t2i: np.ndarray) -> dict[str, float]:
    """A run's retrieval metrics by their names in the tables; `mean_recall_1` is the mean of both directions' R@1."""
    metrics: dict[str, float] = {}
    for direction, values, candidates in (("i2t", i2t, len(t2i)), ("t2i", t2i, len(i2t))):
        metrics |= {f"{direction}_recall_{k}": recall_at(values, k) for k in CUTOFFS}
        metrics |= {f"{direction}_mrr": mean_reciprocal_rank(values), f"{direction}_median_rank": median_rank(values)}
        metrics[f"{direction}_foscttm"] = float(foscttm(np.mean(values), candidates))
    metrics["mean_recall_1"] = (metrics["i2t_recall_1"] + metrics["t2i_recall_1"]) / 2
    return metrics


def folded(u: np.ndarray, v: np.ndarray, owner: np.ndarray, folds: int = FOLDS, fold: int = FOLD) -> dict[str, float]:
    """Recall@K as the mean of five folds of 1,000 images, each ranked among its own: COCO's "1k", by `FOLDED`.

    It is higher than recall among all 5,000 images, so its name differs (Karpathy and Fei-Fei, CVPR 2015, section 4.2).
    u, v, owner as in `ranks`; the folds are the first images in their order. Empty where there are fewer.
    """
    if len(u) < folds * fold:
        return {}
    recalls: dict[str, list[float]] = {name: [] for name in FOLDED}
    for part in _blocks(folds * fold, fold):
        rows = np.flatnonzero((owner >= part.start) & (owner < part.stop))
        for way, values in zip(("i2t", "t2i"), ranks(u[part], v[rows], owner[rows] - part.start), strict=True):
            for k in CUTOFFS:
                recalls[f"{way}_recall_{k}_1k"].append(recall_at(values, k))
    return {name: float(np.mean(values)) for name, values in recalls.items()}
