"""The curves: retrieval and classification against pairs, accuracy against labels. Rows in, a figure out."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ngw.report import style
from ngw.report.frames import Pair, budgets, in_setting, in_words, of, settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALL = "all"
_DIRECTIONS = {"i2t": "Image to text", "t2i": "Text to image"}
WIDTH = 5.4  # inches: text stays legible where a page shows the figure 430 pixels wide
NEAR = 4  # points between controls that share a label
_CONTROL = {"color": style.GREY, "linestyle": "--", "linewidth": 0.9}


class Axis(NamedTuple):
    """The position of each budget: on a log scale between the breaks, off the scale beyond them."""

    place: dict[str, float]
    breaks: list[float]


def pair_axis(known: Sequence[str]) -> Axis:
    """Positions of budgets: log10 of the number; 0 and `all`, which have none, lie beyond a break left and right."""
    place = {pairs: math.log10(int(pairs)) for pairs in known if pairs not in ("0", ALL)}
    low, high = min(place.values(), default=0.0), max(place.values(), default=0.0)
    gap, breaks = max(0.4, (high - low) / 5), []
    for pairs, edge, step in (("0", low, -gap), (ALL, high, gap)):
        if pairs in known:
            breaks += [edge + step / 2] * bool(place)
            place[pairs] = edge + step
    return Axis(place, breaks)


def recall_figure(
    rows: pd.DataFrame, pair: Pair, cutoffs: Sequence[int] = (1, 10), methods: Collection[str] | None = None
) -> Figure:
    """Figure 1: R@K against the pair budget for every method, or some, of one (dataset, vision, text).

    One panel per direction, one row per cutoff and setting. Bands are the rows' 95 % intervals; controls are grey and
    dashed.
    """
    rows, looks = _shown(of(rows, pair), methods)
    curves = rows[rows["role"] != "control"]
    axis = pair_axis(budgets((rows if curves.empty else curves)["pairs"]))
    with style.paper():
        kinds = [(k, unpaired) for k in cutoffs for unpaired in settings(rows)]
        height = 0.5 + 2.1 * len(kinds) + 0.06 * len(looks)
        figure, panels = style.new(len(kinds), 2, WIDTH, height, sharey=True, sharex=True)
        for line, (k, unpaired) in zip(panels, kinds, strict=True):
            here = in_setting(rows, unpaired)
            for axes, (way, title) in zip(line, _DIRECTIONS.items(), strict=True):
                _pair_ticks(axes, axis)
                axes.set_ylim(-9, 105)  # room for the controls' names under chance and over the oracle
                axes.set_yticks(range(0, 101, 20))
                _lines(axes, here[here["metric"] == f"{way}_recall_{k}"], axis, looks)
                axes.set_title(f"{title}, R@{k}")
            line[0].set_ylabel(f"R@{k} (%){in_words(unpaired)}")
        for axes in panels[-1]:
            axes.set_xlabel("known pairs")
        legend(figure, panels, curves[curves["metric"] == f"i2t_recall_{cutoffs[0]}"])
    return figure


def accuracy_figure(rows: pd.DataFrame, pair: Pair, methods: Collection[str] | None = None) -> Figure:
    """Top-1 of classification against the pair budget for every method, or some, of one (dataset, vision, text).

    One panel per setting; bands are the rows' 95 % intervals; controls are grey and dashed.
    """
    rows, looks = _shown(of(rows, pair), methods)
    rows = rows[rows["metric"] == "top_1"]
    curves, kinds = rows[rows["role"] != "control"], settings(rows)
    axis = pair_axis(budgets((rows if curves.empty else curves)["pairs"]))
    with style.paper():
        width = max(WIDTH, 0.5 + 2.45 * len(kinds))
        figure, panels = style.new(1, len(kinds), width, 2.8 + 0.06 * len(looks), sharey=True)
        for axes, unpaired in zip(panels[0], kinds, strict=True):
            _pair_ticks(axes, axis)
            axes.set_ylim(-9, 105)
            axes.set_yticks(range(0, 101, 20))
            _lines(axes, in_setting(rows, unpaired), axis, looks)
            axes.set_title(style.fold(f"{pair[0]}{in_words(unpaired)}", 28, 2))
            axes.set_xlabel("known pairs")
        panels[0, 0].set_ylabel("top-1 accuracy (%)")
        legend(figure, panels, curves)
    return figure


def labels_figure(rows: pd.DataFrame, pair: Pair) -> Figure:
    """Accuracy against the share of labelled questions, one line per fusion; bands are 95 % intervals."""
    rows = of(rows, pair).assign(pairs=lambda all_rows: all_rows["labels"])
    rows = rows[rows["metric"] == "accuracy"]
    drawn = rows.loc[(rows["labels"] != ALL) | (rows["role"] == "control"), "method"]
    rows = rows[rows["method"].isin(drawn)]
    curves = rows[rows["role"] != "control"]
    shares = budgets((rows if curves.empty else curves)["labels"])
    per_cent = {share: "100" if share == ALL else share for share in shares}
    axis = Axis({share: math.log10(float(text)) for share, text in per_cent.items()}, [])
    with style.paper():
        figure, panels = style.new(1, 1, WIDTH, 3.0)
        axes = panels[0, 0]
        axes.set_xticks(list(axis.place.values()), list(per_cent.values()))
        axes.set_xlabel("labelled questions (%)")
        axes.set_ylabel("accuracy (%)")
        _lines(axes, rows, axis, style.looks(rows))
        axes.set_ylim(bottom=(0 if rows.empty else 100 * rows["low"].min()) - 4)
        legend(figure, panels, curves)
    return figure


def _shown(rows: pd.DataFrame, methods: Collection[str] | None) -> tuple[pd.DataFrame, dict[str, dict]]:
    """The rows of some methods (None: all), and their lines, which are the same whichever are shown."""
    looks = style.looks(rows)
    if methods is None:
        return rows, looks
    return rows[rows["method"].isin(methods)], {name: look for name, look in looks.items() if name in methods}


def _lines(axes: Axes, rows: pd.DataFrame, axis: Axis, looks: Mapping[str, Mapping]) -> None:
    """Every control, then every method: its line with its band.

    Across a break of the axis a line is dotted, since its slope means nothing there.
    """
    controls(axes, rows[rows["role"] == "control"], axis)
    rows = rows.assign(x=rows["pairs"].map(axis.place)).sort_values("x", kind="stable")
    for method, look in looks.items():
        x, mean, low, high = rows.loc[rows["method"] == method, ["x", "mean", "low", "high"]].to_numpy(float).T
        mean, low, high = 100 * mean, 100 * low, 100 * high
        part = np.searchsorted(axis.breaks, x)
        for k in range(len(axis.breaks) + 1):
            here = part == k
            axes.plot(x[here], mean[here], **look, label=method if k == part[-1] else None, zorder=4)
            if here.sum() > 1:
                axes.fill_between(
                    x[here], low[here], high[here], color=look["color"], alpha=0.18, linewidth=0, zorder=3
                )
            else:
                axes.vlines(x[here], low[here], high[here], color=look["color"], alpha=0.4, linewidth=3, zorder=3)
        for k in np.flatnonzero(np.diff(part)).tolist():
            axes.plot(x[k : k + 2], mean[k : k + 2], color=look["color"], linestyle=":", linewidth=0.8, zorder=2)


def controls(axes: Axes, rows: pd.DataFrame, axis: Axis) -> None:
    """Grey dashed lines, horizontal where the control doesn't depend on pairs; lines close together share a label."""
    found: dict[str, float] = {}  # where each line ends
    drawn: dict[str, list[float]] = {}  # and its heights
    for method, means in rows.set_index("pairs").groupby("method", sort=False)["mean"]:
        at = (100 * means).to_dict()
        placed = sorted((axis.place[pairs], y) for pairs, y in at.items() if pairs in axis.place)
        last = placed[-1][1] if placed else list(at.values())[-1]
        if len(placed) > 1:
            axes.plot(*zip(*placed, strict=True), **_CONTROL, zorder=1)
        else:
            axes.axhline(list(at.values())[-1], **_CONTROL, zorder=1)
        found[method], drawn[method] = last, [y for _, y in placed] if len(placed) > 1 else [last]
    heights = np.unique(list(found.values()))
    for group in np.split(heights, np.flatnonzero(np.diff(heights) > NEAR) + 1) if found else ():
        # No curve runs below a low line on the right, or above a high one on the left.
        names = [name for name, height in found.items() if height in group]
        near = [y for name in names for y in drawn[name]]
        low = group.mean() < 50
        x, y, ha, va = (0.99, min(near) - 1, "right", "top") if low else (0.01, max(near) + 0.6, "left", "bottom")
        style.note(axes, x, y, style.fold(", ".join(names), 60, 3), ha=ha, va=va)


def _pair_ticks(axes: Axes, axis: Axis) -> None:
    """Budgets as ticks, and a pair of strokes where the axis breaks."""
    axes.set_xticks(list(axis.place.values()), [pairs if pairs == ALL else f"{int(pairs):,}" for pairs in axis.place])
    first, last = min(axis.place.values()), max(axis.place.values())
    beside = 0.06 * (last - first) + 0.05
    axes.set_xlim(first - beside, last + beside)
    for x in axis.breaks:
        style.cut(axes, x)


def legend(figure: Figure, panels: np.ndarray, rows: pd.DataFrame) -> None:
    """Methods below the panels (beside a single panel), ordered by their mean height, 0 where one didn't run."""
    heights = rows.pivot_table(index="method", columns="pairs", values="mean").fillna(0).mean(axis=1)
    handles = dict(zip(*reversed(panels[0, 0].get_legend_handles_labels()), strict=True))
    shown = {label: handles[label] for label in sorted(handles, key=lambda label: heights[label], reverse=True)}
    if rows["low"].notna().any():
        shown["95 % interval"] = style.band(style.GREY, 0.3)
    shown["control"] = style.line(**_CONTROL)
    below = {"loc": "outside lower center", "ncols": 3 if max(map(len, shown)) < 25 else 2}
    place = below if panels.shape[1] > 1 else {"loc": "outside right upper"}
    figure.legend(shown.values(), map(style.name, shown), **place)
