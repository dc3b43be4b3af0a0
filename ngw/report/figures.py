"""The curves: retrieval against pairs, and accuracy against labels. Rows in, a matplotlib figure out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ngw.report import style
from ngw.report.frames import Pair, budgets, of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALL = "all"
_DIRECTIONS = {"i2t": "Image to text", "t2i": "Text to image"}


class Axis(NamedTuple):
    """Where each pair budget stands: on a log scale between the breaks, apart from it beyond them."""

    place: dict[str, float]
    breaks: list[float]
    all_label: str = "all"


def pair_axis(known: Sequence[str], all_pairs: int | None) -> Axis:
    """Places for budgets: log10 of the number; 0 has no logarithm and stands beyond a break on the left.

    `all` stands at its own number where `all_pairs` tells it, else beyond a break on the right.
    """
    place = {pairs: math.log10(int(pairs)) for pairs in known if pairs not in ("0", "all")}
    if "all" in known and all_pairs:
        place["all"] = math.log10(all_pairs)
    low, high = min(place.values(), default=0.0), max(place.values(), default=0.0)
    gap, breaks = max(0.4, (high - low) / 5), []
    if "0" in known:
        breaks += [low - gap / 2] * bool(place)
        place["0"] = low - gap
    if "all" in known and "all" not in place:
        breaks += [high + gap / 2] * bool(place)
        place["all"] = high + gap
    return Axis(place, breaks, f"all\n({all_pairs:,})" if all_pairs else "all")


def recall_figure(
    rows: pd.DataFrame, pair: Pair, cutoffs: Sequence[int] = (1,), all_pairs: int | None = None
) -> Figure:
    """Figure 1: R@K against the pair budget for every method of one (dataset, vision, text).

    One panel a direction, one row a cutoff. Bands are the rows' 95 % intervals; controls are grey and dashed.
    all_pairs: the number of training pairs that `all` means, if known.
    """
    rows = of(rows, pair)
    curves = rows[rows["role"] != "control"]
    axis = pair_axis(budgets((rows if curves.empty else curves)["pairs"]), all_pairs)
    looks = style.looks(rows)
    with style.paper():
        figure, panels = style.new(len(cutoffs), 2, 7.2, 0.5 + 2.3 * len(cutoffs), sharey=True, sharex=True)
        for line, k in zip(panels, cutoffs, strict=True):
            for axes, (way, title) in zip(line, _DIRECTIONS.items(), strict=True):
                metric = f"{way}_recall_{k}"
                _recall_panel(axes, rows[rows["metric"] == metric], axis, looks)
                axes.set_title(title if len(cutoffs) == 1 else f"{title}, R@{k}")
            line[0].set_ylabel(f"R@{k} (%)")
        for axes in panels[-1]:
            axes.set_xlabel("known pairs")
        legend(figure, panels, curves[curves["metric"] == f"i2t_recall_{cutoffs[0]}"])
    return figure


def labels_figure(rows: pd.DataFrame, pair: Pair) -> Figure:
    """Accuracy against the share of labelled questions, a line a fusion; bands are the rows' 95 % intervals."""
    rows = of(rows, pair).assign(pairs=lambda all_rows: all_rows["labels"])
    rows = rows[rows["metric"] == "accuracy"]
    drawn = rows.loc[(rows["labels"] != ALL) | (rows["role"] == "control"), "method"]
    rows = rows[rows["method"].isin(drawn)]
    curves = rows[rows["role"] != "control"]
    shares = budgets((rows if curves.empty else curves)["labels"])
    axis = Axis({share: math.log10(100 if share == ALL else float(share)) for share in shares}, [])
    with style.paper():
        figure, panels = style.new(1, 1, 5.4, 3.0)
        axes = panels[0, 0]
        axes.set_xticks([axis.place[s] for s in shares], ["100" if share == ALL else share for share in shares])
        axes.set_xlabel("labelled questions (%)")
        axes.set_ylabel("accuracy (%)")
        controls(axes, rows[rows["role"] == "control"], axis)
        for method, look in style.looks(rows).items():
            curve(axes, rows[rows["method"] == method], axis, look, label=method)
        axes.set_ylim(bottom=(0 if rows.empty else 100 * rows["low"].min()) - 4)
        legend(figure, panels, curves)
    return figure


def _recall_panel(axes: Axes, rows: pd.DataFrame, axis: Axis, looks: Mapping[str, dict]) -> None:
    """One panel: every control, then every method."""
    _pair_ticks(axes, axis)
    axes.set_ylim(-9, 105)  # room for the controls' names under chance and over the oracle
    axes.set_yticks(range(0, 101, 20))
    controls(axes, rows[rows["role"] == "control"], axis)
    for method, look in looks.items():
        curve(axes, rows[rows["method"] == method], axis, look, label=method)


def curve(axes: Axes, rows: pd.DataFrame, axis: Axis, look: Mapping, label: str) -> None:
    """A method's line with its band; across a break of the axis it is dotted, as its slope means nothing there."""
    rows = rows.assign(x=rows["pairs"].map(axis.place)).sort_values("x", kind="stable")
    x = rows["x"].to_numpy()
    mean, low, high = 100 * rows[["mean", "low", "high"]].to_numpy().T
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


def controls(axes: Axes, rows: pd.DataFrame, axis: Axis) -> None:
    """Grey dashed lines, level where the control doesn't depend on pairs; those that lie together share their words."""
    look = {"color": style.GREY, "linestyle": "--", "linewidth": 0.9, "zorder": 1}
    words: dict[float, list[str]] = {}
    for method, means in rows.set_index("pairs").groupby("method", sort=False)["mean"]:
        at = (100 * means).to_dict()
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


def legend(figure: Figure, panels: np.ndarray, rows: pd.DataFrame) -> None:
    """Methods beside the panels, in the order of their mean height over the budgets of the first panel."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    heights = rows.groupby("method")["mean"].mean()
    handles = dict(zip(*reversed(panels[0, 0].get_legend_handles_labels()), strict=True))
    shown = {label: handles[label] for label in sorted(handles, key=lambda label: heights[label], reverse=True)}
    shown["95 % interval"] = Patch(color=style.GREY, alpha=0.3, linewidth=0)
    shown["control"] = Line2D([], [], color=style.GREY, linestyle="--", linewidth=0.9)
    figure.legend(shown.values(), map(style.name, shown), loc="outside right upper")
