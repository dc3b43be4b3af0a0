"""Clusters of two clouds, matched by Gromov-Wasserstein or by assignment: the start of methods without pairs."""

from __future__ import annotations

import warnings

import numpy as np

from ngw.methods._rotation import Rotation
from ngw.methods._whitened import Whitened
from ngw.seeds import entropy

LEADING = 50  # principal components in which the clusters are found


class Matched(Whitened, Rotation):
    """A rotation in whitened coordinates that can start from matched clusters."""

    clusters: int  # centroids of a cloud, by k-means
    starts: int  # of the matching of their distances

    def _match(self, x: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
        """Cross-covariance x' P y [d_x, d_y] of the matched centroids."""
        from ngw.ot.gromov import match

        (cx, a), (cy, b) = (
            centroids(z, self.clusters, entropy(seed, "gromov", side)) for z, side in ((x, "x"), (y, "y"))
        )
        matching = match(distances(cx), distances(cy), a, b, self.starts, seed)
        self.objective_ = float(matching.objectives.min())
        self.spread_, self.agreeing_ = matching.spread, matching.agreeing
        self.converged_, self.note_ = matching.converged, "" if matching.converged else "matching: too few iterations."
        if self.starts > 1 and matching.agreeing < 2:
            self.converged_ = False
            self.note_ = (
                f"restarts disagree: none of {self.starts} finds the best matching again, "
                f"their objectives spread by {matching.spread:.3f}."
            )
        return (cx.T @ matching.plan @ cy).astype(np.float32)


def centroids(x: np.ndarray, k: int, seed: int, start: str = "rows") -> tuple[np.ndarray, np.ndarray]:
    """(centroids [<= k, d], their shares of the rows) by k-means on the leading coordinates of x [n, d].

    start: "rows" at random, or "++", rows far from each other (k-means++; Arthur & Vassilvitskii 2007).
    """
    from scipy.cluster.vq import kmeans2

    k = min(k, max(2, len(x) // 2))
    lead = x[:, :LEADING].astype(np.float64)
    stream = np.random.default_rng(seed)
    begin = lead[stream.choice(len(x), k, replace=False)] if start == "rows" else k
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One of the clusters is empty")  # it is left out below
        minit = "matrix" if start == "rows" else start
        label = kmeans2(lead, begin, minit=minit, iter=30, rng=stream)[1]
    names, label, count = np.unique(label, return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), x.shape[1]))
    np.add.at(sums, label, x)
    return sums / count[:, None], count / len(x)


def distances(x: np.ndarray) -> np.ndarray:
    """Euclidean distances [k, k] within a set x [k, d]."""
    from scipy.spatial.distance import cdist

    return cdist(x, x)


def assignment(c: np.ndarray, d: np.ndarray, starts: int, stream: np.random.Generator) -> np.ndarray:
    """The matched indices [2, min(k, l)] of two sets with similarities c [k, k], d [l, l]: quadratic assignment.

    The best of `starts` local optima under exchanges of two, as by SciPy's 2-opt, but all exchanges are rated at once
    and the best one is made: a thirtieth of its time.  On clustered clouds FAQ's optima were worse.
    """
    size = max(len(c), len(d))
    a, b = (np.pad(z - z.mean(), (0, size - len(z))) for z in (c, d))  # centred: points added are neutral
    ends = [_exchanged(a, b, stream.permutation(size)) for _ in range(starts)]
    columns = max(ends, key=lambda end: float((a * b[np.ix_(end, end)]).sum()))
    rows = np.flatnonzero((np.arange(size) < len(c)) & (columns < len(d)))
    return np.stack([rows, columns[rows]])


def _exchanged(a: np.ndarray, b: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The order [k] from which no exchange of two raises sum_ij a_ij b_order(i)order(j); a, b [k, k]: symmetric."""
    while True:
        placed = b[np.ix_(order, order)]
        both = a @ placed
        one, other = np.diag(a), np.diag(placed)
        off = (a - one[:, None]) * (placed - other[:, None])
        gain = both + both.T - np.diag(both)[:, None] - np.diag(both) + off + off.T
        gain = 2 * gain - (one[:, None] - one) * (other[:, None] - other)
        i, j = np.unravel_index(gain.argmax(), gain.shape)
        if gain[i, j] < 1e-9:
            return order
        order[[i, j]] = order[[j, i]]
