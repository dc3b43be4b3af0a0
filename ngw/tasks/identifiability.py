"""How well a fitted method's maps preserve information (proposal 2.5), on held-out pairs, with a shuffled null.

The null of every metric is the same metric for the same method, fitted at the same budget, seed and hyperparameters
(or choice of them) on the known pairs with their partners permuted, so that each pair is wrong. A method without
pairs has no null. Two closed forms complete it: a map without information about its input has collision
1 - k / (n - 1), and the best constant map has cycle error 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.errors import InputError
from ngw.features import Features
from ngw.features.clouds import Clouds, draw, owners
from ngw.methods._directions import Direction, Map, directions
from ngw.methods._given import exchange
from ngw.methods.base import Method, unit
from ngw.methods.outside import Outside
from ngw.metrics import identifiability as metric
from ngw.seeds import rng

VERSION = 1  # of the protocol, in every record
ROWS = 8  # for the Jacobian of a map that isn't affine
PAIRS = 5_000  # of rows, for the Lipschitz quantiles


@dataclass
class Result:
    """Metrics by name (`ab_`: T_AB, `ba_`: T_BA), and each map's mean singular values in decreasing order."""

    metrics: dict[str, float]
    spectra: dict[str, list[float]]


def held_out(vision: Features, text: Features, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Paired rows x [n, d_x], y [n, d_y]: every image with one of its captions, drawn by the seed."""
    if len(vision.ids) <= metric.NEAREST:
        raise InputError(
            f"test split: expected more than {metric.NEAREST} images, found {len(vision.ids)}; enlarge it."
        )
    owner = owners(vision, text)
    return vision.x, text.x[draw(owner, len(vision.ids), 1, seed)]


def evaluate(method: Method, x: np.ndarray, y: np.ndarray, seed: int) -> Result:
    """Evaluate both maps on paired held-out rows x [n, d_x], y [n, d_y]; seed: draws the sampled rows and pairs."""
    metrics: dict[str, float] = {}
    spectra: dict[str, list[float]] = {}
    there, back = directions(method)
    for way, inverse, z, target in ((there, back, x, y), (back, there, y, x)):
        image = way.whole(z)
        kept = metric.injectivity(z, image) | _reach(image, target)
        kept |= _stretch(z, image, target, rng(seed, "identifiability", way.name, "pairs"))
        values = spectrum(way, z, target, rng(seed, "identifiability", way.name, "rows"))
        kept |= {
            "jacobian_max": float(values[0]),
            "jacobian_frobenius": float((values**2).sum()),
            "jacobian_rank": metric.effective_rank(values),
            "cycle": metric.cycle_error(z, inverse.whole(image)),
        }
        metrics |= {f"{way.name}_{name}": value for name, value in kept.items()}
        spectra[way.name] = [float(f"{value:.6g}") for value in values]
    return Result(metrics, spectra)


def shuffled_twin(method: Method, two: Clouds, seed: int) -> Method | None:
    """The null: the same method fitted on the same clouds, each known pair with another pair's partner."""
    if method.supervision == "none" or isinstance(method, Outside):  # its program isn't available
        return None
    twin = type(method)(**method.params())
    twin.hubness = False  # it changes the comparison only, which isn't measured here
    return twin.fit(two.x, two.y, shuffle(two.pairs, seed), seed)


def shuffle(pairs: np.ndarray, seed: int) -> np.ndarray:
    """The pairs [k, 2] with their partners permuted in one cycle: no pair keeps its partner."""
    return exchange(pairs, rng(seed, "identifiability", "partners"))


def _reach(image: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Surjectivity of directions from the targets' mean, which cosines compare; `_raw`: of the features.

    A regression shrinks images towards the mean, and raw balls say little there: every image lies in most targets'
    balls, and no target lies in any image's.  `spread` is this shrinkage, the images' spread over the targets'.
    """
    mean = target.mean(axis=0, dtype=np.float64)
    reach = metric.surjectivity(unit(image - mean), unit(target - mean))
    reach |= {f"{name}_raw": value for name, value in metric.surjectivity(image, target).items()}
    return reach | {"spread": metric.spread(image) / metric.spread(target)}


def _stretch(z: np.ndarray, image: np.ndarray, target: np.ndarray, stream: np.random.Generator) -> dict[str, float]:
    """Quantiles of |T(z_i) - T(z_j)| / |z_i - z_j| over random pairs i != j, in units of the two spaces' spreads."""
    i = stream.integers(len(z), size=PAIRS)
    j = (i + stream.integers(1, len(z), size=PAIRS)) % len(z)
    ratio = metric.lipschitz(z, image, np.stack([i, j], axis=1)) * metric.spread(z) / metric.spread(target)
    return {f"lipschitz_{q}": float(np.quantile(ratio, q / 100)) for q in (1, 50, 99)}


def spectrum(way: Direction, z: np.ndarray, target: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """Singular values of the Jacobian of T, in units of the two spaces' spreads, [min(d_a, d_b)], decreasing.

    The k-th is the mean of the k-th largest over ROWS random rows of z; an affine map has one Jacobian.
    """
    chosen = z[stream.permutation(len(z))[:ROWS]]
    one = is_affine(way, chosen, stream)
    size, mean = metric.spread(z), z.mean(axis=0, dtype=np.float64)
    # `into` and `out` are affine: their images of the axes are their Jacobians, most exact in float32 around the mean.
    origin = way.into(mean[None])
    before = (way.into(mean + size * np.eye(z.shape[1])) - origin).astype(np.float64)  # [d_a, r]
    inner = way.core(way.into(chosen[:1])).shape[1]
    after = (way.out(np.eye(inner)) - way.out(np.zeros((1, inner)))) / metric.spread(target)  # [r', d_b]
    values = [
        metric.singular_values(before @ jacobian(way.core, way.into(row[None])[0], affine=one) @ after)
        for row in (chosen[:1] if one else chosen)
    ]
    return np.mean(values, axis=0)


def jacobian(core: Map, z: np.ndarray, affine: bool = False) -> np.ndarray:
    """dT(z)/dz at one row z [r], in coordinates of unit mean square norm: [r, r'], by central differences.

    Exact up to rounding if the map is affine, or piecewise linear without a kink inside the step.
    """
    z = z.astype(np.float64)
    precision = np.finfo(core(z[None]).dtype).eps
    step = 1.0 if affine else float(precision) ** (1 / 3)  # balances curvature and rounding
    return np.concatenate(
        [(core(z + axes) - core(z - axes)) / (2 * step) for axes in np.split(step * np.eye(len(z)), _parts(len(z)))]
    ).astype(np.float64)


def is_affine(way: Direction, z: np.ndarray, stream: np.random.Generator) -> bool:
    """Whether T(z + v) + T(z - v) = 2 T(z) at rows z [k, d_a], for random v as long as z, up to rounding."""
    inner = way.into(z).astype(np.float64)
    v = stream.standard_normal(inner.shape) / np.sqrt(inner.shape[1])
    up, here, down = (way.core(inner + sign * v) for sign in (1, 0, -1))
    return bool(np.linalg.norm(up + down - 2 * here) <= 1e-4 * np.linalg.norm(up - down))


def _parts(r: int, size: int = 256) -> list[int]:
    """Where to cut r axes into blocks."""
    return list(range(size, r, size))
