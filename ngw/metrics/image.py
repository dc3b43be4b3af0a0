"""Generated images against real ones: Frechet and kernel distances between features, and how CLIP rates a caption.

Pure functions of features, in float64. With features of the Inception network of 2015 and its published weights the
distances are FID and KID; between any other features they bear that network's name, `fd[...]` and `kd[...]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ngw.seeds import rng


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """Frechet distance between Gaussians fitted to two sets of features; FID if they are Inception's.

    Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017, equation 6; covariances are unbiased, as
    in the reference code and torchmetrics. It is biased upwards for few samples: compare sets of one size.

    Args:
        x, y: [n, d], [m, d], finite, n and m at least d + 1.

    Raises:
        ValueError: fewer samples than a covariance of that width needs (`kid` takes fewer), or bad arrays.
    """
    x, y = _features(x, y)
    for name, rows in (("x", x), ("y", y)):
        if len(rows) <= rows.shape[1]:
            raise ValueError(
                f"{name}: the Frechet distance of {rows.shape[1]} features needs {rows.shape[1] + 1} samples or more, "
                f"found {len(rows)}; give more, or use the kernel distance (kid), which is unbiased for few."
            )
    return frechet_of_moments(x.mean(0), _covariance(x), y.mean(0), _covariance(y))


def frechet_of_moments(mean_x: np.ndarray, cov_x: np.ndarray, mean_y: np.ndarray, cov_y: np.ndarray) -> float:
    """|m_x - m_y|^2 + tr(C_x + C_y - 2 (C_x C_y)^1/2) of two Gaussians; means [d], covariances [d, d].

    tr (C_x C_y)^1/2 is the sum of the singular values of C_x^1/2 C_y^1/2, roots by eigenvalues. Unlike the root of the
    product, whose eigenvalues near 0 keep half of their digits, that needs no complex number and no added diagonal.
    """
    root_x, root_y = _root(cov_x, "x"), _root(cov_y, "y")
    shared = np.linalg.svd(root_x @ root_y, compute_uv=False).sum()
    apart = ((np.asarray(mean_x, np.float64) - mean_y) ** 2).sum()
    return float(max(0.0, apart + np.trace(cov_x) + np.trace(cov_y) - 2 * shared))


def mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x'y / d + 1)^3; it may be negative.

    Binkowski et al., Demystifying MMD GANs, ICLR 2018, section 4 and equation 4 (there n = m).

    Args:
        x, y: [n, d], [m, d], finite, n and m at least 2.
    """
    x, y = _features(x, y)
    within = sum(
        (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)) for kernel in (_cubic(x, x), _cubic(y, y))
    )
    return float(within - 2 * _cubic(x, y).mean())


def kid(
    x: np.ndarray, y: np.ndarray, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Mean and standard deviation of `mmd` over random subsets; the kernel Inception distance on Inception's features.

    The defaults are torchmetrics'. Subsets are drawn without repeats, by address: the same sizes, seed and counts give
    the same rows.

    Args:
        x, y: [n, d], [m, d], finite.
        subset_size: rows of each side in a subset, 2 to min(n, m).

    Raises:
        ValueError: a subset larger than a set, or bad arrays.
    """
    x, y = _features(x, y)
    if subsets < 1 or not 2 <= subset_size <= min(len(x), len(y)):
        raise ValueError(
            f"kid: expected one subset or more of 2 to {min(len(x), len(y))} rows, found {subsets} of {subset_size}; "
            "set subset_size below the number of images, or take mmd of all."
        )
    draw = rng(seed, "kid")
    chosen = ((draw.choice(len(rows), subset_size, replace=False) for rows in (x, y)) for _ in range(subsets))
    found = [mmd(x[rows], y[others]) for rows, others in chosen]
    return float(np.mean(found)), float(np.std(found))


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


def _covariance(x: np.ndarray) -> np.ndarray:
    return np.cov(x, rowvar=False).reshape(x.shape[1], -1)


def _root(covariance: np.ndarray, name: str) -> np.ndarray:
    """The symmetric root of a covariance; eigenvalues that rounding made negative are zero."""
    covariance = np.asarray(covariance, np.float64)
    values, vectors = np.linalg.eigh(covariance)
    if not np.allclose(covariance, covariance.T) or values[0] < -1e-6 * max(values[-1], 0):
        raise ValueError(
            f"{name}: expected a covariance, symmetric and without negative variance, found other numbers."
        )
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def clip_score(images: np.ndarray, texts: np.ndarray) -> float:
    """100 max(mean cos, 0) over the pairs: torchmetrics' CLIPScore, of captions as they are.  images, texts: [n, d].

    The mean is clipped, not each pair: a mean of clipped pairs is well above 0 even where pictures and captions have
    nothing to do with one another, since about half of their cosines are below 0.
    """
    return float(clip_score_of_mean(cosines(images, texts).mean()))


def clip_score_of_mean(cosine: np.ndarray | float) -> np.ndarray:
    """`clip_score` of pairs with this mean cosine; of several means (bootstrap samples), of each."""
    return 100 * np.maximum(cosine, 0)


def with_scores(means: Mapping[str, Any]) -> dict[str, Any]:
    """Mean cosines by the names of the metrics (`cosine`, `nearest_cosine`) and the score of each (`score`, ...)."""
    return {**means, **{name.replace("cosine", "score"): clip_score_of_mean(mean) for name, mean in means.items()}}


def clip_s(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """2.5 max(cos, 0) of each pair, [n]: CLIP-S, of texts that begin with "A photo depicts ".  images, texts: [n, d].

    Hessel et al., CLIPScore, EMNLP 2021, equation 1 and section 3 (which says why the prefix). There each pair is
    clipped; no table prints it.
    """
    return 2.5 * cosines(images, texts).clip(0)


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
