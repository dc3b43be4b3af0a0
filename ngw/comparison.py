"""Two arrays of one's own to a retrieval table: methods fitted on few pairs, ranked on held-out rows, side by side."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from ngw import methods
from ngw.errors import InputError
from ngw.features import Features
from ngw.features.clouds import Clouds, clouds, repeated
from ngw.methods.base import Method, check_cloud
from ngw.seeds import rng
from ngw.tasks.retrieval import evaluate

METHODS = ("warp", "sotalign", "contrastive", "cca", "ridge", "procrustes", "unaligned")
SHOWN = (("R@1", "recall_1"), ("R@10", "recall_10"), ("MRR", "mrr"))


@dataclass
class Comparison:
    """What `compare` found: `metrics` and the fitted `models`, by the methods' names; as text, a table.

    repeated: how many test rows of x and of y equal a training row; copies of an item make the test easier than it is.
    test: how many items were held out; tested: these in words; ways: both directions in words.
    """

    metrics: dict[str, dict[str, float]]
    models: dict[str, Method]
    pairs: str
    test: int
    repeated: dict[str, int] = field(default_factory=dict)
    tested: str = ""
    ways: tuple[str, str] = ("x to y", "y to x")

    def __str__(self) -> str:
        head = ["", *(f"{name} {way}" for way in self.ways for name, _ in SHOWN)]
        lines = [head]
        for name, metrics in self.metrics.items():
            values = [f"{100 * metrics[f'{way}_{metric}']:.1f}" for way in ("i2t", "t2i") for _, metric in SHOWN]
            lines.append([name + "†" * (not self.models[name].converged_), *values])
        widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
        tested = self.tested or f"{self.test:,} test rows"
        title = f"Retrieval in per cent, {self.pairs} known pairs, {tested}"

        def join(line: list[str]) -> str:
            first, *rest = (c.rjust(w) if k else c.ljust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True)))
            return "  ".join([first, *rest])

        notes = [f"† {name}: {m.note_}" for name, m in self.models.items() if not m.converged_]
        notes += [f"Test rows of {side} that equal a training row: {n:,}" for side, n in self.repeated.items() if n]
        return "\n".join([f"{title}; chance: {100 / self.test:.2g}", *map(join, lines), *notes])


def compare(
    x: Any, y: Any, pairs: int | str = "all", test: int | float = 0.2,
    methods: Sequence[str | Mapping[str, Any]] = METHODS, seed: int = 0, x_unpaired: Any = None, y_unpaired: Any = None,
) -> Comparison:  # fmt: skip
    """Fit methods on two encoders' features of the same items, and rank items that none of them has seen.

    Args:
        x: [n, d_x], features of the items by one encoder.
        y: [n, d_y], by the other; row k of both is one item.
        pairs: how many training rows are known to belong together; the others enter in unknown order.
        test: how many rows are held out, a whole number, or a share of them, below 1.
        methods: kinds of `ngw.methods`, or specs {"kind": "warp", "epsilon": 0.1}.
        seed: of the split, of the pairs and of all fits.
        x_unpaired: [l, d_x], items of x's side alone, which join its training cloud.
        y_unpaired: [m, d_y], items of y's.

    Raises:
        InputError: arrays of different lengths, rows that aren't finite numbers, too few of them, a method that does
            not exist.

    Warns where test rows equal training rows, as they do where an item's captions are rows of their own: the split is
    by row.  Keep one row an item, or take a data set (`kind: folder`), whose split is by image.
    """
    x, y = _cloud(x, "x"), _cloud(y, "y")
    if len(x) != len(y):
        raise InputError(
            f"compare: expected x [n, d_x] and y [n, d_y] of the same n items, found {list(x.shape)} and "
            f"{list(y.shape)}; pass row k of both for item k."
        )
    held, made = _held(test, len(x)), _models(methods)
    order = rng(seed, "align", "split").permutation(len(x))
    (a, b), (u, v) = (_sides(x, y, np.sort(rows)) for rows in (order[held:], order[:held]))
    two = clouds(a, b, pairs, seed)
    two.x, two.y = _joined(two.x, x_unpaired, "x"), _joined(two.y, y_unpaired, "y")
    again = {"x": repeated(two.x, u.x), "y": repeated(two.y, v.x)}
    if any(again.values()):
        warnings.warn(
            f"compare: {again['x']} of {held} test rows of x, and {again['y']} of y, equal a training row: what was "
            "trained on is tested; keep one row an item.",
            stacklevel=2,
        )
    return Comparison(*_fitted(made, two, (u, v), seed), str(pairs), held, again)


def compare_captions(
    images: Features, captions: Features, pairs: int | str = "all", test: int | float = 0.2,
    methods: Sequence[str | Mapping[str, Any]] = METHODS, seed: int = 0, unpaired: np.ndarray | None = None,
) -> Comparison:  # fmt: skip
    """As `compare`, of images with one caption or more each: what is held out are images with all their captions.

    pairs: how many pairs of an image and a caption are known, of those of the training images.
    unpaired: [l, d_x], images without a caption, which join the training cloud.
    """
    held, made = _held(test, len(images.ids)), _models(methods)
    order = rng(seed, "align", "split").permutation(images.ids)
    (a, b), (u, v) = ([_of(side, ids) for side in (images, captions)] for ids in (order[held:], order[:held]))
    two = clouds(a, b, pairs, seed, captions=len(b.ids))
    two.x = _joined(two.x, unpaired, "x")
    if again := repeated(two.x, u.x):
        warnings.warn(
            f"compare: {again} of {held} test images equal a training image: what was trained on is tested; keep one "
            "file of each.",
            stacklevel=2,
        )
    words, ways = f"{held:,} test images with {len(v.ids):,} captions", ("image to text", "text to image")
    return Comparison(*_fitted(made, two, (u, v), seed), str(pairs), held, {"x": again}, words, ways)


def _of(side: Features, images: np.ndarray) -> Features:
    """The rows of some images."""
    rows = np.flatnonzero(np.isin(side.image_ids, images))
    return Features(side.ids[rows], side.image_ids[rows], side.x[rows], side.metadata)


def _fitted(
    made: Mapping[str, Method], two: Clouds, test: tuple[Features, Features], seed: int
) -> tuple[dict[str, dict[str, float]], dict[str, Method]]:
    """The metrics on the test items, and the fitted models, by name."""
    metrics, models = {}, {}
    for name, model in made.items():
        known = two.truth if model.supervision == "all" else two.pairs
        models[name] = model.fit(two.x, two.y, known, seed)
        metrics[name] = evaluate(models[name], *test).metrics
    return metrics, models


def _cloud(z: Any, side: str) -> np.ndarray:
    """A cloud [n, d] of finite float32, if it is one of numbers: text that spells numbers is none."""
    kind = getattr(z, "dtype", None)
    if isinstance(kind, np.dtype) and kind.kind not in "fiub":
        raise InputError(f"{side}: expected numbers [n, d], found an array of {kind}; convert it.")
    return check_cloud(z, side)


def _joined(z: np.ndarray, further: Any, side: str) -> np.ndarray:
    """A training cloud, and behind it the items that are on this side alone."""
    if further is None:
        return z
    further = _cloud(further, f"{side}_unpaired")
    if further.shape[1] != z.shape[1]:
        raise InputError(
            f"{side}_unpaired: expected rows of {z.shape[1]} numbers, like {side}, found {further.shape[1]}; encode "
            "both alike."
        )
    return np.concatenate([z, further.astype(np.float32)])


def _held(test: Any, n: int) -> int:
    """The number of test rows of n: a whole number, or a share below 1 of them."""
    number = isinstance(test, Real) and not isinstance(test, bool)
    held = round(test * n) if number and 0 < test < 1 else test
    if not (number and held == held // 1 and 2 <= held <= n - 2):
        raise InputError(f"compare: expected 2 to {n - 2} test rows, found {test} of {n}; mend `test`.")
    return int(held)


def _models(methods: Sequence[str | Mapping[str, Any]]) -> dict[str, Method]:
    """The methods by name, so that a misspelled one is told before any is fitted."""
    made = {}
    for entry in methods:
        spec = {"kind": entry} if isinstance(entry, str) else dict(entry)
        name = "~".join([str(spec.get("kind")), *(f"{k}={value}" for k, value in spec.items() if k != "kind")])
        made[name] = build(spec)
    return made


def build(spec: Mapping[str, Any]) -> Method:
    """A method of features; those that read raw items have no place here."""
    model = methods.build(spec)
    if model.raw:
        raise InputError(f"compare: {spec['kind']!r} reads raw images and texts, not features; leave it out.")
    return model


def _sides(x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> tuple[Features, Features]:
    """Some rows of both as clouds of features."""
    a, b = (
        Features(rows, rows, np.ascontiguousarray(z[rows], np.float32), {"modality": modality})
        for z, modality in ((x, "vision"), (y, "text"))
    )
    return a, b
