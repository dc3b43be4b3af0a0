"""From two arrays of your own to a retrieval table: methods fitted on few pairs and ranked on held-out rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from ngw import methods
from ngw.comparison.table import Comparison, Run
from ngw.config.names import derived
from ngw.errors import InputError, did_you_mean
from ngw.features import Features
from ngw.features.clouds import budget as check_budget
from ngw.features.clouds import clouds, repeated
from ngw.methods.base import Method, check_cloud
from ngw.seeds import rng, whole
from ngw.tasks.retrieval import evaluate

METHODS = ("ngw", "sotalign", "contrastive", "cca", "ridge", "procrustes", "unaligned")
NAMED = {"ngw": {"kind": "warp"}}  # methods whose name in the benchmark's tables isn't their kind
Budgets = int | str | Sequence[int | str]
Seeds = int | Sequence[int]
Sides = tuple[Features, Features]


def compare(
    x: Any, y: Any, pairs: Budgets = "all", test: int | float = 0.2,
    methods: Sequence[str | Mapping[str, Any]] = METHODS, seed: Seeds = 0, x_unpaired: Any = None,
    y_unpaired: Any = None,
) -> Comparison:  # fmt: skip
    """Fit methods on two encoders' features of the same items, and rank items that none of them has seen.

    Args:
        x: [n, d_x], features of the items by one encoder.
        y: [n, d_y], by the other; row k of both is one item.
        pairs: the number of training rows whose pairing is known, or a list of such budgets; the other rows enter in
            unknown order.
        test: the number of held-out rows, or their share, below 1.
        methods: one or more: names from the benchmark's tables, "ngw" or "ngw~epsilon=0.1" (`warp` is its kind);
            kinds of `ngw.methods`; or specs {"kind": "warp", "epsilon": 0.1}.
        seed: of the split, the pairs and all fits; one seed, or a list of seeds for means and their spread.
        x_unpaired: [l, d_x], items of x's side alone, which join x's training cloud.
        y_unpaired: [m, d_y], the same for y.

    Raises:
        InputError: arrays of different lengths, rows that aren't finite numbers, too few rows, a method that does
            not exist.

    Warns where test rows equal training rows, for example because an item with several captions has several rows: the
    split is by row.  Keep one row per item, or use a data set (`kind: folder`), whose split is by image.
    """
    x, y = _cloud(x, "x"), _cloud(y, "y")
    if len(x) != len(y):
        raise InputError(
            f"compare: expected x [n, d_x] and y [n, d_y] of the same n items, found {list(x.shape)} and "
            f"{list(y.shape)}; pass row k of both for item k."
        )
    held, specs = _held(test, len(x)), named(methods)

    def split(seed: int) -> list[Sides]:
        order = rng(seed, "align", "split").permutation(len(x))
        return [_sides(x, y, np.sort(rows)) for rows in (order[held:], order[:held])]

    runs, again = _runs(specs, split, pairs, seed, {"x": x_unpaired, "y": y_unpaired})
    if any(again.values()):
        warnings.warn(
            f"compare: {again['x']} of {held} test rows of x, and {again['y']} of y, equal a training row, so "
            "training data is tested; keep one row per item.",
            stacklevel=2,
        )
    return Comparison(runs, held, again)


def compare_captions(
    images: Features, captions: Features, pairs: Budgets = "all", test: int | float = 0.2,
    methods: Sequence[str | Mapping[str, Any]] = METHODS, seed: Seeds = 0, unpaired: np.ndarray | None = None,
) -> Comparison:  # fmt: skip
    """As `compare`, for images with one or more captions each; an image is held out with all its captions.

    pairs: the number of known pairs of an image and a caption, among those of the training images.
    unpaired: [l, d_x], images without a caption, which join the training cloud.
    """
    held, specs = _held(test, len(images.ids)), named(methods)

    def split(seed: int) -> list[Sides]:
        order = rng(seed, "align", "split").permutation(images.ids)
        return [(of_images(images, ids), of_images(captions, ids)) for ids in (order[held:], order[:held])]

    runs, again = _runs(specs, split, pairs, seed, {"x": unpaired})
    if again["x"]:
        warnings.warn(
            f"compare: {again['x']} of {held} test images equal a training image, so training data is tested; keep "
            "one file of each image.",
            stacklevel=2,
        )
    found = Comparison(runs, held, {"x": again["x"]}, ways=("image to text", "text to image"), items="captions")
    sizes = sorted(len(split(seed)[1][1].ids) for seed in found.seeds)
    captioned = " to ".join(dict.fromkeys(f"{n:,}" for n in (sizes[0], sizes[-1])))
    found.tested = f"{held:,} test images with {captioned} captions"
    return found


def of_images(side: Features, images: np.ndarray) -> Features:
    """The rows of one side that are of some images."""
    rows = np.flatnonzero(np.isin(side.image_ids, images))
    return Features(side.ids[rows], side.image_ids[rows], side.x[rows], side.metadata)


def _runs(
    specs: Mapping[str, Mapping[str, Any]], split: Callable[[int], list[Sides]], pairs: Budgets, seeds: Seeds,
    further: Mapping[str, Any],
) -> tuple[list[Run], dict[str, int]]:  # fmt: skip
    """One run per method, budget and seed; and the most test rows of each side, over seeds, that equal a training row.

    split: returns a seed's training and test items.  further: items of one side alone.
    """
    budgets, several = _each_once(pairs, "pairs"), [whole(seed) for seed in _each_once(seeds, "seed")]
    runs, again = [], {"x": 0, "y": 0}
    for seed in several:
        (a, b), test = split(seed)
        for budget in budgets:  # check all budgets before the first fit
            check_budget(budget, len(b.ids))
        for budget in budgets:
            two = clouds(a, b, budget, seed, captions=len(b.ids))
            two.x, two.y = (_joined(z, further.get(side), side) for side, z in (("x", two.x), ("y", two.y)))
            for name, spec in specs.items():
                model = build(spec)
                model.fit(two.x, two.y, two.truth if model.supervision == "all" else two.pairs, seed)
                metrics, kept = evaluate(model, *test).metrics, model if seed == several[0] else None
                doubted = two.ids[np.flatnonzero(getattr(model, "pair_belief_", np.ones(0)) == 0)]
                runs.append(Run(name, str(budget), seed, metrics, model.converged_, model.note_, kept, doubted))
        for side, known, held in zip("xy", (two.x, two.y), test, strict=True):
            again[side] = max(again[side], repeated(known, held.x))
    return runs, again


def _each_once(values: Any, name: str) -> list[Any]:
    """One value, or several, each once."""
    several = [values] if np.ndim(values) == 0 else list(values)
    if np.ndim(values) > 1:
        raise InputError(
            f"compare: {name}: expected one number or a list of them, found an array of shape "
            f"{list(np.shape(values))}; compare draws the pairs itself, and `fit` takes their rows."
        )
    if not several or len({str(value) for value in several}) < len(several):
        raise InputError(f"compare: {name}: expected one or more, each once, found {values!r:.80}; mend them.")
    return several


def _cloud(z: Any, side: str) -> np.ndarray:
    """A cloud [n, d] of finite float32; text that spells numbers is refused."""
    kind = getattr(z, "dtype", None)
    if isinstance(kind, np.dtype) and kind.kind not in "fiub":
        raise InputError(f"{side}: expected numbers [n, d], found an array of {kind}; convert it.")
    return check_cloud(z, side)


def _joined(z: np.ndarray, further: Any, side: str) -> np.ndarray:
    """A training cloud, followed by the items of this side alone."""
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
    """The number of test rows among n, from a whole number or a share below 1."""
    number = isinstance(test, Real) and not isinstance(test, bool)
    held = round(test * n) if number and 0 < test < 1 else test
    if not (number and held == held // 1 and 2 <= held <= n - 2):
        raise InputError(f"compare: expected 2 to {n - 2} test rows, found {test} of {n}; mend `test`.")
    return int(held)


def named(methods: Sequence[str | Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The methods' specs by name; each is built once, so that a misspelled one fails before any fit."""
    specs = {}
    several = [methods] if isinstance(methods, (str, Mapping)) else list(methods)
    if not several:
        raise InputError("compare: methods: expected one or more, found none; name one.")
    for entry in several:
        name, spec = _spec(entry)
        build(spec)
        specs[name] = spec
    return specs


def _spec(entry: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A method's name in the table, and its spec."""
    if isinstance(entry, str):
        base, where = entry.split("~")[0], "a mapping {'kind': ..., option: value}"
        return entry, derived(f"compare: method {entry!r}", _base(base), entry, where)
    if not isinstance(entry, Mapping):
        raise InputError(
            f"compare: methods: expected names or mappings {{'kind': ..., option: value}}, found {entry!r:.80}; write "
            "its options as a mapping."
        )
    spec = dict(entry)
    name = "~".join([str(spec.get("kind")), *(f"{k}={value}" for k, value in spec.items() if k != "kind")])
    return name, {**spec, **_base(spec.get("kind"))}


def _base(name: Any) -> dict[str, Any]:
    """The spec of a method without options, by its name in the benchmark's tables or its kind."""
    known = [*NAMED, *methods.kinds()]
    if name not in known:
        raise InputError(f"compare: method {name!r} does not exist.{did_you_mean(str(name), known)}")
    return NAMED.get(name, {"kind": name})


def build(spec: Mapping[str, Any]) -> Method:
    """A method on features; one that reads raw items is refused."""
    model = methods.build(spec)
    if model.raw:
        raise InputError(f"compare: {spec['kind']!r} reads raw images and texts, not features; leave it out.")
    return model


def _sides(x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Sides:
    """Some rows of both arrays as features."""
    a, b = (
        Features(rows, rows, np.ascontiguousarray(z[rows], np.float32), {"modality": modality})
        for z, modality in ((x, "vision"), (y, "text"))
    )
    return a, b
