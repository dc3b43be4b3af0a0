"""The VQA figures: accuracy against labels, and a page of examples with the words' attention over the image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ngw.report import style
from ngw.report.collate import Row
from ngw.report.figures import Axis, controls, curve, legend
from ngw.report.tables import Pair, budgets, of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIGHT, WRONG = "#1B7837", "#B2182B"
ALL = "all"


class Example(NamedTuple):
    """One question: image as the encoder sees it, what is asked, the annotators' answer, and answers by fusion.

    answers: {fusion: (answer, accuracy)}.  attention: how much the words look at each image token, [t], rows of a
    square grid first; None where nothing attends.
    """

    image: Any
    question: str
    truth: str
    answers: Mapping[str, tuple[str, float]]
    attention: np.ndarray | None = None


def labels_figure(rows: Sequence[Row], pair: Pair) -> Figure:
    """Accuracy against the share of labelled questions, a line a fusion; bands are the rows' 95 % intervals."""
    rows = [row | {"pairs": row["labels"]} for row in of(rows, pair) if row["metric"] == "accuracy"]
    drawn = {row["method"] for row in rows if row["labels"] != ALL or row["role"] == "control"}
    rows = [row for row in rows if row["method"] in drawn]
    curves = [row for row in rows if row["role"] != "control"]
    shares = budgets(curves or rows)
    axis = Axis({share: math.log10(100 if share == ALL else float(share)) for share in shares}, [])
    methods = dict.fromkeys((row["method"], row["role"] == "method") for row in curves)
    with style.paper():
        figure, panels = style.new(1, 1, 5.4, 3.0)
        axes = panels[0, 0]
        axes.set_xticks([axis.place[s] for s in shares], ["100" if share == ALL else share for share in shares])
        axes.set_xlabel("labelled questions (%)")
        axes.set_ylabel("accuracy (%)")
        controls(axes, [row for row in rows if row["role"] == "control"], axis)
        for k, (method, emphasis) in enumerate(methods):
            look = style.series(k, emphasis)
            curve(axes, [row for row in curves if row["method"] == method], axis, look, label=method)
        axes.set_ylim(bottom=min([100 * row["low"] for row in rows], default=0) - 4)
        legend(figure, panels, curves)
    return figure


def examples_figure(examples: Sequence[Example]) -> Figure:
    """A page of examples, four in a line: the question, the image under its attention, the answers."""
    columns = min(4, max(1, len(examples)))
    lines = -(-len(examples) // columns)
    answers = max((len(example.answers) for example in examples), default=0)
    with style.paper():
        height = lines * (2.35 + 0.15 * answers)
        figure, panels = style.new(lines, columns, 1.85 * columns, height)
        for axes in panels.flat[len(examples) :]:
            axes.set_visible(False)
        for axes, example in zip(panels.flat, examples, strict=False):
            _example(axes, example)
    return figure


def _example(axes: Axes, example: Example) -> None:
    """One example in its panel."""
    picture = np.asarray(example.image)
    axes.imshow(picture)
    if example.attention is not None:
        _overlay(axes, example.attention, picture.shape[:2])
    axes.set_axis_off()
    axes.set_title(style.fold(example.question, 27, 2), fontsize=7, fontweight="normal")
    truth = style.fold(f"annotators: {example.truth}", 34)
    axes.text(0, -0.03, truth, transform=axes.transAxes, va="top", fontsize=6.5, color=style.INK)
    for k, (fusion, (answer, accuracy)) in enumerate(example.answers.items(), 1):
        sign, colour = ("✓", RIGHT) if accuracy > 0.95 else ("✗", WRONG) if not accuracy else ("–", style.GREY)
        share = f" ({100 * accuracy:.0f} %)" if sign == "–" else ""  # what a few annotators said
        words = style.fold(f"{sign} {fusion}: {answer}{share}", 34)
        axes.text(0, -0.03 - 0.085 * k, words, transform=axes.transAxes, va="top", fontsize=6.5, color=colour)


def _overlay(axes: Axes, attention: np.ndarray, shape: tuple[int, int]) -> None:
    """What isn't looked at fades: a white veil, thinner where attention [t] is stronger."""
    side = math.isqrt(len(attention))
    if side * side != len(attention):
        return
    grid = attention.reshape(side, side)
    strength = (grid - grid.min()) / (np.ptp(grid) or 1.0)
    veil = np.ones((side, side, 4))
    veil[..., 3] = 0.75 * (1 - strength)
    height, width = shape
    axes.imshow(veil, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="bicubic")
