"""The ablation table (one option of a method changed at a time, against the method itself) and its figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ngw.errors import InputError
from ngw.report import style
from ngw.report.collate import DRAWS, Samples, bootstrap_all, by_seeds, mean_of, rounded, seeds_row, to_csv
from ngw.report.records import Cell, Record, cell, check, pair
from ngw.report.records import Table as Ranks
from ngw.report.render import markdown, tex
from ngw.report.statistics import METRICS, interval, paired_difference
from ngw.report.tables import Line, Number, Pair, Table, encoder_pairs, of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Any]
Group = Mapping[str, Any]  # base, option, rows [[value, method], ...]: see `Config.ablation_groups`

SHOWN = ("i2t_recall_1", "t2i_recall_1", "mean_recall_1")
WHO = ("dataset", "vision", "text", "base", "option", "value", "method", "pairs", "metric")
NUMBERS = ("mean", "std", "low", "high", "difference", "difference_low", "difference_high", "p", "step", "support")
COLUMNS = (*WHO, *NUMBERS, "n_seeds", "role", "converged")
_LEGEND = (
    "difference: of the mean R@1 of both directions, to the base in points, with its 95 % interval: bootstrap paired"
    " and clustered by image.",
    "step: of the maps' training, whose weights were kept, mean over seeds: at 0, a closed form that training didn't"
    " better on held-out rows, and coefficients of the objective change nothing.",
    "support: of the plan, effective: captions that the mass of an image that was transported is spread over, mean over"
    " images and seeds.",
    "A word in a number's place is null in the config: all rows (unpaired), the ridge penalty (smoothness),"
    " exact marginals (tau), no whitening (whiten).",
)
NULL = {"unpaired": "all", "smoothness": "ridge", "tau": "exact", "whiten": "none"}  # what null is for an option


def build(
    records: Sequence[Record], ranks: Mapping[Cell, Ranks], expected: Iterable[Cell], groups: Sequence[Group],
    name: str = "ablations", draws: int = DRAWS,
) -> dict[str, str]:  # fmt: skip
    """The files of `results/tables` by name, as text; a missing, doubled or extra record is an `InputError`.

    records, ranks: metrics and predictions of every run, as for the retrieval table.
    """
    if not groups:
        raise InputError("config: tables.ablations: expected values to vary, found none; add the section.")
    check(records, expected)
    found = rows(records, bootstrap_all(records, ranks, draws), groups)
    sizes = {pair(record): (record["n_images"], record["n_captions"]) for record in records}
    tables = [_table(found, who, sizes[who]) for who in encoder_pairs(found)]
    return {
        f"{name}.csv": to_csv(found, COLUMNS),
        f"{name}.md": "\n".join(["# Ablations\n", *map(markdown, tables)]),
        f"{name}.tex": "\n".join(map(tex, tables)),
    }


def rows(records: Sequence[Record], samples: Samples, groups: Sequence[Group]) -> list[Row]:
    """Rows with `COLUMNS`: for each group, value and metric the numbers over seeds, and the difference to the base."""
    at = {(*pair(runs[0]), runs[0]["method"]): runs for runs in by_seeds(records)}
    return [
        _numbers(at[*who, method], at[*who, group["base"]], metric, samples)
        | {"base": group["base"], "option": group["option"], "value": value}
        for who in encoder_pairs(records)
        for group in groups
        for value, method in group["rows"]
        for metric in SHOWN
    ]


def _numbers(runs: Sequence[Record], base: Sequence[Record], metric: str, samples: Samples) -> Row:
    """One row but for its place among the groups; the base has no difference to itself."""
    column = METRICS.index(metric)
    ours, theirs = ([samples[cell(record)][:, column, None] for record in side] for side in (runs, base))
    (low,), (high,) = interval(ours)
    row = seeds_row(runs, metric, [record["metrics"][metric] for record in runs], low, high)
    steps = [record["step"] for record in runs if record.get("step") is not None]
    plans = [record["plan"] for record in runs if record.get("plan")]
    supports = [plan["effective_support"] for plan in plans if plan["effective_support"] is not None]
    row |= {
        name: rounded(float(np.mean(values))) if values else ""
        for name, values in (("step", steps), ("support", supports))
    }
    if runs is base:
        return row | dict.fromkeys(("difference", "difference_low", "difference_high", "p"), "")
    found = paired_difference(ours, theirs, mean_of(runs, metric) - mean_of(base, metric))
    names = {"difference": found.mean, "difference_low": found.low, "difference_high": found.high, "p": found.p}
    return row | {key: rounded(value) for key, value in names.items()}


def from_csv(text: str) -> list[Row]:
    """Rows back from the csv."""
    found = []
    for line in csv.DictReader(io.StringIO(text)):
        numbers = {key: float(line[key]) if line[key] else "" for key in NUMBERS}
        found.append(line | numbers | {"n_seeds": int(line["n_seeds"]), "converged": line["converged"] == "true"})
    return found


def _table(found: Sequence[Row], pair: Pair, size: tuple[int, int]) -> Table:
    """A line a value: R@1 both ways and their mean, the difference to the base, the step that was kept, the support."""
    here = of(found, pair)
    by_value: dict[tuple, dict[str, Row]] = {}
    for row in here:
        by_value.setdefault((row["base"], row["option"], row["value"]), {})[row["metric"]] = row
    first = here[0]
    budget = next(row["pairs"] for row in here if row["method"] == first["base"])
    lines = [_line(by_metric, first["base"], budget) for by_metric in by_value.values()]
    notes = ["± standard deviation over seeds."] * any(row["n_seeds"] > 1 for row in here)
    notes += ["† a run behind this line did not converge; its record says why."] * any(not r["converged"] for r in here)
    return Table(
        title=f"Ablations of {first['base']}, {budget} pairs, R@1 in per cent: {pair[0]}"
        f" ({size[0]:,} test images, {size[1]:,} captions), {pair[1]} and {pair[2]}",
        slug="-".join(["ablations", *pair]),
        corner="option",
        header=["value", "image to text", "text to image", "mean", "difference", "95 % interval", "step", "support"],
        lines=lines,
        legend=[*_LEGEND, *notes],
    )


def _line(by_metric: Mapping[str, Row], base: str, budget: str) -> Line:
    """One line; its label says where the base or the budget is another than the table's."""
    row = by_metric["mean_recall_1"]
    label = row["option"] if row["base"] == base else f"{row['option']} (of {row['base']})"
    rates = [
        [Number(f"{100 * one['mean']:.1f}", f"{100 * one['std']:.1f}" if one["n_seeds"] > 1 else "")]
        for one in (by_metric[metric] for metric in SHOWN)
    ]
    if row["method"] == row["base"]:
        change = [[Number("base")], []]
    else:
        low, high = (f"{100 * row[f'difference_{end}']:+.1f}" for end in ("low", "high"))
        change = [[Number(f"{100 * row['difference']:+.1f}")], [Number(f"{low} to {high}")]]
    value = _said(row) if row["pairs"] == budget else f"{_said(row)} ({row['pairs']} pairs)"
    kept = [
        [Number(f"{row[name]:,.{digits}f}")] if row[name] != "" else []
        for name, digits in (("step", 0), ("support", 1))
    ]
    return Line(label, [[Number(value)], *rates, *change, *kept], converged=row["converged"])


def figure(found: Sequence[Row], pair: Pair) -> Figure:
    """Mean R@1 of both directions, a panel an option: the base level is dashed, its own point is filled.

    A panel more, where epsilon varies: the plan's effective support.
    """
    here = [row for row in of(found, pair) if row["metric"] == "mean_recall_1"]
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in here:
        groups.setdefault((row["base"], row["option"]), []).append(row)
    spread = next((rows for (_, option), rows in groups.items() if option == "epsilon" and _supported(rows)), None)
    count = len(groups) + (spread is not None)
    columns = min(4, count)
    lines = -(-count // columns)
    with style.paper():
        drawn, panels = style.new(lines, columns, 0.6 + 1.75 * columns, 0.6 + 1.75 * lines, sharey=True)
        for axes, ((base, option), rows) in zip(panels.flat, groups.items(), strict=False):
            _panel(axes, rows)
            axes.set_title(option if base == here[0]["base"] else style.fold(f"{option} ({_short(base)})", 26, 2))
        for axes in panels.flat[len(groups) :]:
            axes.set_visible(False)
        if spread is not None:
            _support(drawn.add_subplot(panels.flat[len(groups)].get_subplotspec()), spread)
        top = 105 * max(row["high"] for row in here)
        panels[0, 0].set_ylim(-0.04 * top, top)  # a point at zero is whole
        drawn.supylabel("mean R@1 of both directions (%)", fontsize=8)
        _legend(drawn)
    return drawn


_LINE = {"color": style.series(1, emphasis=True)["color"], "linewidth": 1.1}
_POINT = {"marker": "o", "linestyle": "", "markersize": 4.6, "color": _LINE["color"]}
_CHANGED = _POINT | {"markerfacecolor": "white", "markeredgecolor": _LINE["color"], "markeredgewidth": 1.1}
_LEVEL = {"color": style.GREY, "linestyle": (0, (4, 2)), "linewidth": 0.9, "zorder": 1}


def _panel(axes: Axes, rows: Sequence[Row]) -> None:
    """One option: its values as points with 95 % intervals, joined where they are numbers."""
    x = _places(axes, rows)
    mean, low, high = (100 * np.array([row[key] for row in rows]) for key in ("mean", "low", "high"))
    numbers = [k for k, row in enumerate(rows) if _number(row["value"]) is not None]
    is_base = _points(axes, rows, x, mean)
    axes.axhline(mean[is_base][0], **_LEVEL)
    axes.vlines(x, low, high, color=_LINE["color"], alpha=0.45, linewidth=2.4, zorder=2)
    axes.plot(x[numbers], mean[numbers], **_LINE, zorder=3)


def _points(axes: Axes, rows: Sequence[Row], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The base's point filled, the others open; which is the base's."""
    is_base = np.array([row["method"] == row["base"] for row in rows])
    axes.plot(x[~is_base], y[~is_base], **_CHANGED, zorder=4)
    axes.plot(x[is_base], y[is_base], **_POINT, zorder=5)
    return is_base


def _supported(rows: Sequence[Row]) -> bool:
    """Whether every value has a plan."""
    return all(row["support"] != "" for row in rows)


def _support(axes: Axes, rows: Sequence[Row]) -> None:
    """How many captions an image's mass is spread over, at each epsilon."""
    x, support = _places(axes, rows), np.array([row["support"] for row in rows])
    axes.plot(x, support, **_LINE, zorder=3)
    _points(axes, rows, x, support)
    style.logarithmic(axes.yaxis)
    axes.minorticks_off()
    axes.set_title("effective support, by epsilon")


def _places(axes: Axes, rows: Sequence[Row]) -> np.ndarray:
    """Where the values stand: on a log axis where they span a decade, else side by side."""
    from matplotlib.ticker import NullLocator

    numbers = [number for row in rows if (number := _number(row["value"])) is not None]
    if len(numbers) == len(rows) and min(numbers) > 0 and max(numbers) >= 10 * min(numbers):
        axes.set_xscale("log")
        axes.set_xlim(min(numbers) / 1.4, max(numbers) * 1.4)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(numbers, [f"{number:g}" for number in numbers], **_ASLANT)
        return np.array(numbers)
    words = [style.fold(text, 30) for text in _words([_said(row) for row in rows])]
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_xticks(range(len(rows)), words, **(_ASLANT if max(map(len, words)) > 5 else {}))
    return np.arange(len(rows))


_ASLANT = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}


def _said(row: Row) -> str:
    """A row's value, a null as what it is for its option."""
    name, *further = row["value"].split(", ")
    return ", ".join([NULL.get(row["option"], name) if name == "null" else name, *further])


def _words(values: Sequence[str]) -> list[str]:
    """Each value without the further options that came with it, but the first that tells it from its namesakes."""
    parts = [value.split(", ") for value in values]
    words = []
    for name, *further in parts:
        others = [set(rest) for other, *rest in parts if other == name and rest != further]
        telling = next((part for part in further if not any(part in other for other in others)), "") if others else ""
        words.append(f"{name}, {telling}" if telling else name)
    return words


def _short(base: str) -> str:
    """A derived method by its first change, any other by its name."""
    return base.split("~")[1] if "~" in base else base


def _number(value: str) -> float | None:
    """A value as a number, if it is one."""
    try:
        return float(value)
    except ValueError:
        return None


def _legend(drawn: Figure) -> None:
    """What the points and the dashes are."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shown = {
        "base, as it is": Line2D([], [], **_POINT),
        "one option changed": Line2D([], [], **_CHANGED),
        "95 % interval": Patch(color=_LINE["color"], alpha=0.45, linewidth=0),
        "level of the base": Line2D([], [], **_LEVEL),
    }
    drawn.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=4)
