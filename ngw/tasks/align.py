"""Two arrays of one's own to a retrieval table: methods fitted on few pairs, ranked on held-out rows, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ngw import methods
from ngw.clouds import clouds
from ngw.errors import InputError
from ngw.features import Features
from ngw.methods.base import Method
from ngw.seeds import rng
from ngw.tasks.retrieval import evaluate

METHODS = ("warp", "sotalign", "contrastive", "cca", "ridge", "procrustes", "unaligned")
SHOWN = (("R@1", "recall_1"), ("R@10", "recall_10"), ("MRR", "mrr"))


@dataclass
class Comparison:
    """What `compare` found: `metrics` and the fitted `models`, by the methods' names; as text, a table."""

    metrics: dict[str, dict[str, float]]
    models: dict[str, Method]
    pairs: str
    test: int

    def __str__(self) -> str:
        head = ["", *(f"{name} {way}" for way in ("x to y", "y to x") for name, _ in SHOWN)]
        lines = [head]
        for name, found in self.metrics.items():
            values = [f"{100 * found[f'{way}_{metric}']:.1f}" for way in ("i2t", "t2i") for _, metric in SHOWN]
            lines.append([name + "†" * (not self.models[name].converged_), *values])
        widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
        title = f"Retrieval in per cent, {self.pairs} known pairs, {self.test:,} test rows"

        def join(line: list[str]) -> str:
            first, *rest = (c.rjust(w) if k else c.ljust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True)))
            return "  ".join([first, *rest])

        notes = [f"† {name}: {m.note_}" for name, m in self.models.items() if not m.converged_]
        return "\n".join([f"{title}; chance: {100 / self.test:.2g}", *map(join, lines), *notes])


def compare(
    x: Any, y: Any, pairs: int | str = "all", test: int | float = 0.2,
    methods: Sequence[str | Mapping[str, Any]] = METHODS, seed: int = 0,
) -> Comparison:  # fmt: skip
    """Fit methods on two encoders' features of the same items, and rank items that none of them has seen.

    Args:
        x, y: [n, d_x] and [n, d_y]; row k of both is one item.
        pairs: how many training rows are known to belong together; the others enter in unknown order.
        test: how many rows are held out, or a share of them.
        methods: kinds of `ngw.methods`, or specs {"kind": "warp", "epsilon": 0.1}.
        seed: of the split, of the pairs and of all fits.

    Raises:
        InputError: arrays of different lengths, too few rows, a method that does not exist.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise InputError(
            f"compare: expected x [n, d_x] and y [n, d_y] of the same n items, found {list(x.shape)} and "
            f"{list(y.shape)}; pass row k of both for item k."
        )
    held = round(test * len(x)) if isinstance(test, float) else test
    if not 2 <= held <= len(x) - 2:
        raise InputError(f"compare: expected 2 to {len(x) - 2} test rows, found {held} of {len(x)}; mend `test`.")
    order = rng(seed, "align", "split").permutation(len(x))
    (a, b), (u, v) = (_sides(x, y, np.sort(rows)) for rows in (order[held:], order[:held]))
    two = clouds(a, b, pairs, seed)
    found, models = {}, {}
    for entry in methods:
        spec = {"kind": entry} if isinstance(entry, str) else dict(entry)
        name = "~".join([spec["kind"], *(f"{k}={value}" for k, value in spec.items() if k != "kind")])
        model = build(spec)
        known = {"none": None, "some": two.pairs, "all": two.truth}[model.pairs]
        models[name] = model.fit(two.x, two.y, known, seed)
        found[name] = evaluate(models[name], u, v).metrics
    return Comparison(found, models, str(pairs), held)


def build(spec: Mapping[str, Any]) -> Method:
    """A method of features; those that read raw items have no place here."""
    model = methods.build(spec)
    if getattr(model, "raw", False):
        raise InputError(f"compare: {spec['kind']!r} reads raw images and texts, not features; leave it out.")
    return model


def _sides(x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> tuple[Features, Features]:
    """Some rows of both as clouds of features."""
    a, b = (
        Features(rows, rows, np.ascontiguousarray(z[rows], np.float32), {"modality": modality})
        for z, modality in ((x, "vision"), (y, "text"))
    )
    return a, b
