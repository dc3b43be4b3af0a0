"""The linear probe: ridge regression of the frozen image features onto the classes, from labelled training images.

It is a ceiling for what a linear map of these features can say about the classes, in closed form: from the training
images, however many, it needs one d x d matrix and one sum per class.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ngw.errors import InputError
from ngw.seeds import rng

PENALTIES = tuple(10.0**p for p in np.arange(2, -4.1, -0.5))  # in units of the mean eigenvalue; the strongest first
HELD_OUT = 0.2  # share of the training images that choose the penalty
BLOCK = 65536  # rows in float64 at once


class Probe(NamedTuple):
    """Scores of the classes: (x - mean) @ weights [d, k] + prior [k]."""

    mean: np.ndarray
    weights: np.ndarray
    prior: np.ndarray
    penalty: float

    def scores(self, x: np.ndarray) -> np.ndarray:
        """x [n, d] -> [n, k]."""
        return (x - self.mean) @ self.weights + self.prior


class Sums(NamedTuple):
    """What the regression needs from its centred rows: eigenvalues and eigenvectors of x' x, sums by class, counts."""

    mean: np.ndarray
    values: np.ndarray
    vectors: np.ndarray
    sums: np.ndarray  # [d, k]
    counts: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, labels: np.ndarray, n_classes: int) -> Sums:
        """The sums of rows x [n, d] with labels [n]."""
        d, mean = x.shape[1], x.mean(0, dtype=np.float64)
        gram, sums = np.zeros((d, d)), np.zeros((n_classes, d))
        for start in range(0, len(x), BLOCK):
            rows = x[start : start + BLOCK] - mean
            gram += rows.T @ rows
            np.add.at(sums, labels[start : start + BLOCK], rows)
        return cls(mean, *np.linalg.eigh(gram), sums.T, np.bincount(labels, minlength=n_classes))

    def probe(self, penalty: float) -> Probe:
        """The regression with one penalty."""
        scale = self.values + penalty * max(self.values.mean(), 1e-12)
        weights = self.vectors @ ((self.vectors.T @ self.sums) / np.maximum(scale, 1e-12)[:, None])
        return Probe(self.mean, weights, self.counts / self.counts.sum(), penalty)


def fit(x: np.ndarray, labels: np.ndarray, n_classes: int) -> Probe:
    """The probe of training images x [n, d] with labels [n]; its penalty is the best on a held-out fifth of them.

    Raises `InputError` if there are too few images to hold some out.
    """
    order = rng(0, "classification", "probe").permutation(len(x))
    held, kept = np.split(order, [max(1, round(HELD_OUT * len(x)))])
    if len(kept) < 2:
        raise InputError(f"expected enough training images to hold some out, found {len(x)}; add some.")
    part = Sums.of(x[kept], labels[kept], n_classes)
    right = [np.mean(part.probe(p).scores(x[held]).argmax(1) == labels[held]) for p in PENALTIES]
    return Sums.of(x, labels, n_classes).probe(PENALTIES[int(np.argmax(right))])
