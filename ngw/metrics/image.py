"""Generated images against real ones: Frechet and kernel distances between features, and how CLIP rates a caption.

Functions of features, in float64; torchmetrics computes the distances.  With features of the Inception network of 2015
and its published weights they are FID and KID; with any other features they bear that network's name, `fd[...]` and
`kd[...]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """Frechet distance between Gaussians fitted to two sets of features; FID if they are Inception's.

    Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017, equation 6; covariances are unbiased.
    It is biased upwards for few samples: compare sets of equal size.

    Args:
        x: [n, d], finite, n at least d + 1.
        y: [m, d], likewise.

    Raises:
        ValueError: fewer samples than a covariance of that width needs (`mmd` takes fewer), or bad arrays.
    """
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    x, y = _features(x, y)
    for name, rows in (("x", x), ("y", y)):
        if len(rows) <= rows.shape[1]:
            raise ValueError(
                f"{name}: the Frechet distance of {rows.shape[1]} features needs {rows.shape[1] + 1} samples or more, "
                f"found {len(rows)}; give more, or use the kernel distance (mmd), which is unbiased for few."
            )
    given = torch.nn.Identity()  # features take the place of images
    given.num_features = x.shape[1]
    distance = FrechetInceptionDistance(given)
    centre = y.mean(0)  # torchmetrics takes moments from raw sums, which lose digits to a common offset
    for rows, real in ((x, False), (y, True)):
        distance.update(torch.from_numpy(rows - centre), real)
    return max(0.0, float(distance.compute()))


def mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x'y / d + 1)^3; it can be negative.

    Binkowski et al., Demystifying MMD GANs, ICLR 2018, section 4 and equation 4; the kernel Inception distance of whole
    sets on Inception's features.

    Args:
        x: [n, d], finite, n at least 2.
        y: [n, d], likewise.
    """
    import torch
    from torchmetrics.image.kid import poly_mmd

    x, y = _features(x, y)
    if len(x) != len(y):
        raise ValueError(f"the kernel distance compares sets of one size, found {len(x)} and {len(y)} rows.")
    return float(poly_mmd(torch.from_numpy(y), torch.from_numpy(x)))


def _features(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two finite float64 matrices of one width, two rows or more each."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2 or not x.shape[1]:
        raise ValueError(f"expected features [n, d] and [m, d], n and m 2 or more; found {x.shape} and {y.shape}.")
    for name, rows in (("x", x), ("y", y)):
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if bad.size:
            raise ValueError(f"{name}: row {bad[0]} isn't finite ({bad.size} of {len(rows)} rows are bad).")
    return x, y


def clip_score(images: np.ndarray, texts: np.ndarray) -> float:
    """100 max(mean cos, 0) over the pairs: torchmetrics' CLIPScore, with unchanged captions.  images, texts: [n, d].

    Our own, since torchmetrics takes images and a network instead of features, and keeps no cosine per pair, which the
    tables' bootstrap needs.

    The mean is clipped, not each pair: a mean of clipped pairs is well above 0 even where pictures and captions have
    nothing to do with one another, since about half of their cosines are below 0.
    """
    return float(clip_score_of_mean(cosines(images, texts).mean()))


def clip_score_of_mean(cosine: np.ndarray | float) -> np.ndarray:
    """`clip_score` of pairs with this mean cosine, or of each of several means (bootstrap samples)."""
    return 100 * np.maximum(cosine, 0)


def with_scores(means: Mapping[str, Any]) -> dict[str, Any]:
    """Mean cosines by the names of the metrics (`cosine`, `nearest_cosine`) and the score of each (`score`, ...)."""
    return {**means, **{name.replace("cosine", "score"): clip_score_of_mean(mean) for name, mean in means.items()}}


def cosines(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Cosine of each picture and its caption, [n] float64, any sign.  images, texts: [n, d], finite, no row zero."""
    x, y = np.asarray(images, np.float64), np.asarray(texts, np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"expected features of as many images as texts, of one width; found {x.shape} and {y.shape}.")
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if bad.size:
        raise ValueError(f"pair {bad[0]}: expected finite features that aren't zero, found others ({bad.size} pairs).")
    return (x * y).sum(axis=1) / lengths
