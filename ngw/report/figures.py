"""The figures: retrieval against pairs, and training curves. Rows and arrays in, a matplotlib figure out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ngw.report import style
from ngw.report.collate import Row
from ngw.report.tables import Pair, budgets, of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DIRECTIONS = {"i2t": "Image to text", "t2i": "Text to image"}


class Axis(NamedTuple):
    """Where each pair budget stands: on a log scale between the breaks, apart from it beyond them."""

    place: dict[str, float]
    breaks: list[float]
    all_label: str = "all"


def pair_axis(found: Sequence[str], all_pairs: int | None) -> Axis:
    """Places for budgets: log10 of the number; 0 has no logarithm and stands beyond a break on the left.

    `all` stands at its own number where `all_pairs` tells it, else beyond a break on the right.
    """
    place = {pairs: math.log10(int(pairs)) for pairs in found if pairs not in ("0", "all")}
    if "all" in found and all_pairs:
        place["all"] = math.log10(all_pairs)
    low, high = min(place.values(), default=0.0), max(place.values(), default=0.0)
    gap, breaks = max(0.4, (high - low) / 5), []
    if "0" in found:
        breaks += [low - gap / 2] * bool(place)
        place["0"] = low - gap
    if "all" in found and "all" not in place:
        breaks += [high + gap / 2] * bool(place)
        place["all"] = high + gap
    return Axis(place, breaks, f"all\n({all_pairs:,})" if all_pairs else "all")


def recall_figure(
    rows: Sequence[Row], pair: Pair, cutoffs: Sequence[int] = (1,), all_pairs: int | None = None
) -> Figure:
    """Figure 1: R@K against the pair budget for every method of one (dataset, vision, text).

    One panel a direction, one row a cutoff. Bands are the rows' 95 % intervals; controls are grey and dashed.
    all_pairs: the number of training pairs that `all` means, if known.
    """
    rows = of(rows, pair)
    curves = [row for row in rows if row["role"] != "control"]
    axis = pair_axis(budgets(curves or rows), all_pairs)
    methods = dict.fromkeys((row["method"], row["role"] == "method") for row in curves)
    looks = {method: style.series(k, emphasis) for k, (method, emphasis) in enumerate(methods)}
    with style.paper():
        figure, panels = style.new(len(cutoffs), 2, 7.2, 0.5 + 2.3 * len(cutoffs), sharey=True, sharex=True)
        for line, k in zip(panels, cutoffs, strict=True):
            for axes, (way, title) in zip(line, _DIRECTIONS.items(), strict=True):
                metric = f"{way}_recall_{k}"
                _recall_panel(axes, [row for row in rows if row["metric"] == metric], axis, looks)
                axes.set_title(title if len(cutoffs) == 1 else f"{title}, R@{k}")
            line[0].set_ylabel(f"R@{k} (%)")
        for axes in panels[-1]:
            axes.set_xlabel("known pairs")
        legend(figure, panels, [row for row in curves if row["metric"] == f"i2t_recall_{cutoffs[0]}"])
    return figure


def _recall_panel(axes: Axes, rows: Sequence[Row], axis: Axis, looks: Mapping[str, dict]) -> None:
    """One panel: every control, then every method."""
    _pair_ticks(axes, axis)
    axes.set_ylim(-9, 105)  # room for the controls' names under chance and over the oracle
    axes.set_yticks(range(0, 101, 20))
    controls(axes, [row for row in rows if row["role"] == "control"], axis)
    for method, look in looks.items():
        curve(axes, [row for row in rows if row["method"] == method], axis, look, label=method)


def curve(axes: Axes, rows: Sequence[Row], axis: Axis, look: Mapping, label: str) -> None:
    """A method's line with its band; across a break of the axis it is dotted, as its slope means nothing there."""
    rows = sorted(rows, key=lambda row: axis.place[row["pairs"]])
    x = np.array([axis.place[row["pairs"]] for row in rows])
    mean, low, high = (100 * np.array([row[key] for row in rows]) for key in ("mean", "low", "high"))
    part = np.searchsorted(axis.breaks, x)
    for k in range(len(axis.breaks) + 1):
        here = part == k
        axes.plot(x[here], mean[here], **look, label=label if k == part[-1] else None, zorder=4)
        if here.sum() > 1:
            axes.fill_between(x[here], low[here], high[here], color=look["color"], alpha=0.18, linewidth=0, zorder=3)
        else:
            axes.vlines(x[here], low[here], high[here], color=look["color"], alpha=0.4, linewidth=3, zorder=3)
    for k in np.flatnonzero(np.diff(part)).tolist():
        axes.plot(x[k : k + 2], mean[k : k + 2], color=look["color"], linestyle=":", linewidth=0.8, zorder=2)


def controls(axes: Axes, rows: Sequence[Row], axis: Axis) -> None:
    """Grey dashed lines, level where the control doesn't depend on pairs; those that lie together share their words."""
    look = {"color": style.GREY, "linestyle": "--", "linewidth": 0.9, "zorder": 1}
    words: dict[float, list[str]] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        at = {row["pairs"]: 100 * row["mean"] for row in rows if row["method"] == method}
        placed = sorted((axis.place[pairs], y) for pairs, y in at.items() if pairs in axis.place)
        if len(placed) > 1:
            axes.plot(*zip(*placed, strict=True), **look)
        else:
            axes.axhline(list(at.values())[-1], **look)
        last = placed[-1][1] if placed else list(at.values())[-1]
        near = next((other for other in words if abs(other - last) < 3), last)
        words.setdefault(near, []).append(method)
    for y, names in words.items():  # under a low line on the right, over a high one on the left: there are no curves
        x, ha, va = (0.99, "right", "top") if y < 50 else (0.01, "left", "bottom")
        style.note(axes, x, y + (-1 if y < 50 else 0.6), style.fold(", ".join(names), 60, 3), ha=ha, va=va)


def _pair_ticks(axes: Axes, axis: Axis) -> None:
    """Budgets as ticks, and a pair of strokes where the axis breaks."""
    names = sorted(axis.place, key=axis.place.__getitem__)
    labels = [f"{int(name):,}" if name != "all" else axis.all_label for name in names]
    axes.set_xticks([axis.place[name] for name in names], labels)
    span = max(axis.place.values()) - min(axis.place.values())
    axes.set_xlim(min(axis.place.values()) - 0.06 * span - 0.05, max(axis.place.values()) + 0.06 * span + 0.05)
    for x in axis.breaks:
        style.cut(axes, x)


def legend(figure: Figure, panels: np.ndarray, rows: Sequence[Row]) -> None:
    """Methods beside the panels, in the order of their mean height over the budgets of the first panel."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def height(label: str) -> float:
        return float(np.mean([row["mean"] for row in rows if row["method"] == label]))

    handles = dict(zip(*reversed(panels[0, 0].get_legend_handles_labels()), strict=True))
    shown = {label: handles[label] for label in sorted(handles, key=height, reverse=True)}
    shown["95 % interval"] = Patch(color=style.GREY, alpha=0.3, linewidth=0)
    shown["control"] = Line2D([], [], color=style.GREY, linestyle="--", linewidth=0.9)
    figure.legend(shown.values(), map(style.name, shown), loc="outside right upper")


def training_figure(
    runs: Mapping[str, Mapping[str, Sequence[float]]], x: str = "step", chosen: Mapping[str, float] | None = None
) -> Figure:
    """Training curves: one panel a run, one line a term of the objective, on a log scale.

    runs: for each run its columns, all of one length; `x` names the steps, the rest are terms (0 has no logarithm and
        isn't drawn).
    chosen: the step whose weights were kept (early stopping), drawn as a vertical line.
    """
    columns = min(3, len(runs))
    lines = -(-len(runs) // columns)
    terms = list(dict.fromkeys(term for run in runs.values() for term in run if term != x))
    looks = {term: style.series(k, emphasis=k < 2) | {"marker": ""} for k, term in enumerate(terms)}
    with style.paper():
        figure, panels = style.new(lines, columns, 1.2 + 2.3 * columns, 0.4 + 2.1 * lines, sharex=True, sharey=True)
        for axes, (name, run) in zip(panels.flat, runs.items(), strict=False):
            for term in (term for term in terms if term in run):
                values = np.array(run[term], float)
                axes.plot(run[x], np.where(values > 0, values, np.nan), **looks[term], label=term)
            if chosen and name in chosen:
                axes.axvline(chosen[name], color=style.GREY, linestyle="--", linewidth=0.9, zorder=1, label="kept")
            style.logarithmic(axes.yaxis)
            axes.set_title(style.fold(name, 28, 2))
        for axes in panels.flat[len(runs) :]:
            axes.set_visible(False)
        figure.supxlabel(x, fontsize=8)
        panels[0, 0].set_ylabel("loss")
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right upper")
    return figure
