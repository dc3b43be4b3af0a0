"""Classification among the embeddings of classes: exact mid-ranks of the true class, top-1, top-5, mean per class.

An image is right at K if its true class is among the K that score highest. Equal scores share the middle of their
places, as in retrieval: a true class that ties with one rival for the first place has rank 1.5 and isn't top-1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ngw.metrics import retrieval

CUTOFFS = (1, 5)
METRICS = (*(f"top_{k}" for k in CUTOFFS), "mean_per_class")
BLOCK = 4096  # images whose scores are held at once


class Classified(NamedTuple):
    """For each image: rank of the true class, float64 [n], 1 is best; the predicted class, int64 [n]."""

    rank: np.ndarray
    predicted: np.ndarray


def classify(images: np.ndarray, classes: np.ndarray, labels: np.ndarray) -> Classified:
    """Rank the classes of every image by the dot product.

    images: float32 [n, e]; classes: float32 [k, e]; labels: int [n], the true classes, among them each of the k.
    The prediction is the true class where its rank is 1, else the best other class (the first of equals).
    Raises ValueError where shapes or labels don't fit, or a number isn't finite.
    """
    _, rank = retrieval.ranks(classes, images, labels)
    rival = np.empty(len(images), np.int64)
    for start in range(0, len(images), BLOCK):
        rows = slice(start, start + BLOCK)
        scores = np.asarray(images[rows], np.float32) @ np.asarray(classes, np.float32).T
        scores[np.arange(len(scores)), labels[rows]] = -np.inf
        rival[rows] = scores.argmax(1)
    return Classified(rank, np.where(rank == 1, labels, rival))


def summary(rank: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """A run's metrics, fractions; `mean_per_class`: the mean over classes of the top-1 accuracy of their images."""
    hits = np.asarray(rank) <= 1
    sizes = np.bincount(labels)
    of_class = np.bincount(labels, hits)[sizes > 0] / sizes[sizes > 0]
    tops = {f"top_{k}": float(np.mean(np.asarray(rank) <= k)) for k in CUTOFFS}
    return tops | {"mean_per_class": float(of_class.mean())}


def chance(n_classes: int) -> dict[str, float]:
    """The metrics of guessing among `n_classes` classes."""
    share = {f"top_{k}": min(1.0, k / n_classes) for k in CUTOFFS}
    return share | {"mean_per_class": 1 / n_classes}
