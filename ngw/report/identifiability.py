"""The identifiability tables (each number beside its shuffled null) and the figure of the Jacobians' spectra."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ngw.metrics.identifiability import BALL, NEAREST, coverage_ceiling
from ngw.report import style
from ngw.report.collate import Row, by_seeds, rounded, seeds_row, to_csv
from ngw.report.records import IDENTITY, Cell, Record, check, pair
from ngw.report.render import markdown, tex
from ngw.report.tables import Line, Number, Pair, Table, encoder_pairs, hundredths, of, per_cent, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NULL = "_null"  # ends the name of a metric's shuffled null
SPECTRUM_COLUMNS = (*IDENTITY, "map", "null", "k", "mean", "low", "high", "n_seeds", "role")
MAPS = {"ab": "T_AB", "ba": "T_BA"}
FLOOR = 1e-3  # singular values below are not drawn


def _thousandths(value: float) -> str:
    return f"{value:.3f}"


# metric: (heading, format, sign of better: 1 where higher is, -1 where lower is, 0 where best isn't marked)
_STYLE: dict[str, tuple[str, Callable[[float], str], int]] = {
    "margin": ("margin", _thousandths, 1),
    "collision": ("collisions", per_cent, -1),
    "precision": ("precision", per_cent, 1),
    "recall": ("recall", per_cent, 1),
    "coverage": ("coverage", per_cent, 1),
    "spread": ("spread", hundredths, 0),
    "lipschitz_99": ("Lipschitz", hundredths, 0),
    "jacobian_max": ("|J|", hundredths, 0),
    "jacobian_rank": ("rank of J", whole, 0),
    "cycle": ("cycle error", _thousandths, -1),
}
_LEGEND = (
    "Each cell: the map / its null, the same method fitted on shuffled pairs; a method without pairs has no null.",
    "margin (injectivity): smallest distance of two images, as a share of their mean distance.",
    f"collisions (injectivity, %): rows whose nearest image doesn't come from one of their {NEAREST} nearest rows.",
    f"precision, recall, coverage (surjectivity, %): of directions from the mean, which is what a cosine compares, by"
    f" balls that reach the {BALL}th neighbour. spread: of the images, as a share of the targets'.",
    "Lipschitz, |J|, rank of J (smoothness): 99 % quantile of |T(x) - T(x')| / |x - x'|, largest singular value of the"
    " Jacobian, and its effective rank; in units of the two spaces' spreads.",
    "cycle error (invertibility): of going there and back, as a share of the variance; the best constant map has 1.",
)


def build(records: Sequence[Record], expected: Iterable[Cell]) -> dict[str, str]:
    """The files of `results/tables` by name, as text; a missing, doubled or extra record is an `InputError`.

    records: metrics/identifiability.json of every run, in the order the tables shall have.
    """
    check(records, expected)
    found = rows(records)
    sizes = {pair(record): record["n_images"] for record in records}
    tables = [_table(found, who, way, sizes[who]) for who in encoder_pairs(found) for way in MAPS]
    return {
        "identifiability.csv": to_csv(found),
        "identifiability.md": "\n".join(["# Identifiability\n", *map(markdown, tables)]),
        "identifiability.tex": "\n".join(map(tex, tables)),
        "identifiability-spectrum.csv": to_csv(spectra(records), SPECTRUM_COLUMNS),
    }


def rows(records: Sequence[Record]) -> list[Row]:
    """Rows of the table, `collate.COLUMNS`; `low` and `high` are the least and the largest over seeds."""
    found = []
    for runs in by_seeds(records):
        for suffix, field in (("", "metrics"), (NULL, "null")):
            for metric in runs[0][field] or ():
                values = [record[field][metric] for record in runs]
                found.append(seeds_row(runs, metric + suffix, values, min(values), max(values)))
    return found


def spectra(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Rows with `SPECTRUM_COLUMNS`: the k-th singular value of each map and of its null, over seeds."""
    found = []
    for runs in by_seeds(records):
        identity = {key: runs[0][key] for key in IDENTITY}
        for null, field in ((False, "spectra"), (True, "null_spectra")):
            for way in runs[0][field] or ():
                values = np.array([record[field][way] for record in runs])  # [seeds, r]
                for k, column in enumerate(values.T, 1):
                    numbers = {"mean": column.mean(), "low": column.min(), "high": column.max()}
                    found.append(
                        identity
                        | {"map": way, "null": null, "k": k, "n_seeds": len(runs), "role": runs[0]["role"]}
                        | {key: rounded(float(value)) for key, value in numbers.items()}
                    )
    return found


def spectra_from_csv(text: str) -> list[dict[str, Any]]:
    """Rows back from `to_csv` with `SPECTRUM_COLUMNS`."""
    found = []
    for line in csv.DictReader(io.StringIO(text)):
        numbers = {key: float(line[key]) for key in ("mean", "low", "high")}
        found.append(line | numbers | {"k": int(line["k"]), "null": line["null"] == "true"})
    return found


def _table(found: Sequence[Row], pair: Pair, way: str, size: int) -> Table:
    """One map's table: a line a method, a column a metric, each cell the number and its null."""
    here = [row for row in of(found, pair) if row["metric"].startswith(f"{way}_")]
    at = {(row["method"], row["metric"]): row for row in here}
    best = {metric: _best(here, f"{way}_{metric}") for metric in _STYLE}
    (budget, _), *_ = Counter(row["pairs"] for row in here).most_common(1)
    lines = [
        Line(
            method if pairs == budget else f"{method} ({pairs} pairs)",
            [_cell(at, method, way, metric, best[metric]) for metric in _STYLE],
            role == "control",
            converged,
        )
        for method, pairs, role, converged in dict.fromkeys(
            tuple(row[key] for key in ("method", "pairs", "role", "converged")) for row in here
        )
    ]
    source, target = (pair[1], pair[2]) if way == "ab" else (pair[2], pair[1])
    notes = [f"Two samples of one distribution would have {100 * coverage_ceiling(size, size):.1f} % coverage."]
    notes += ["± standard deviation over seeds."] * any(row["n_seeds"] > 1 for row in here)
    notes += ["Bold: best of the column, controls aside."] * any(best.values())
    notes += ["† a run behind this line did not converge; its record says why."] * any(not r["converged"] for r in here)
    return Table(
        title=f"Identifiability of {MAPS[way]}, {source} to {target}, {budget} pairs: {pair[0]} ({size:,} test pairs)",
        slug="-".join(["identifiability", *pair, way]),
        corner="method",
        header=[heading for heading, _, _ in _STYLE.values()],
        lines=sorted(lines, key=lambda line: line.control),
        legend=[*_LEGEND, *notes],
    )


def _cell(at: Mapping, method: str, way: str, metric: str, best: str | None) -> list[Number]:
    """A number and, where there is one, its null; the null's spread stays in the csv."""
    row, null, show = at[method, f"{way}_{metric}"], at.get((method, f"{way}_{metric}{NULL}")), _STYLE[metric][1]
    text = show(row["mean"])
    spread = show(row["std"]) if row["n_seeds"] > 1 else ""
    marked = best == text and row["role"] != "control"
    return [Number(text, spread, marked)] + ([Number(show(null["mean"]))] if null else [])


def _best(here: Sequence[Row], metric: str) -> str | None:
    """The best mean as it is printed, so that numbers that print alike are marked alike."""
    _, show, sign = _STYLE[metric.partition("_")[2]]
    means = [row["mean"] for row in here if row["metric"] == metric and row["role"] != "control"]
    return show(max(means, key=lambda mean: sign * mean)) if means and sign else None


def spectrum_figure(found: Sequence[Mapping[str, Any]], pair: Pair) -> Figure:
    """Singular values of both maps' Jacobians on held-out rows, a panel a method; dotted: fitted on shuffled pairs."""
    from matplotlib.ticker import NullLocator

    found = of(found, pair)
    methods = list(dict.fromkeys(row["method"] for row in sorted(found, key=lambda row: row["role"] == "control")))
    columns = min(4, len(methods))
    lines = -(-len(methods) // columns)
    with style.paper():
        figure, panels = style.new(lines, columns, 1.0 + 1.55 * columns, 0.7 + 1.45 * lines, sharex=True, sharey=True)
        for place, (axes, method) in enumerate(zip(panels.flat, methods, strict=False)):
            here = [row for row in found if row["method"] == method]
            _panel(axes, here)
            control = here[0]["role"] == "control"
            axes.set_title(style.fold(method, 24, 2), color=style.GREY if control else style.INK)
            axes.xaxis.set_tick_params(labelbottom=place + columns >= len(methods))  # the lowest of its column
        for axes in panels.flat[len(methods) :]:
            axes.set_visible(False)
        style.logarithmic(panels[0, 0].yaxis)
        panels[0, 0].set_ylim(FLOOR, 1.5 * max(row["high"] for row in found))
        panels[0, 0].yaxis.set_minor_locator(NullLocator())
        figure.supxlabel("k", fontsize=8)
        figure.supylabel("k-th singular value of the Jacobian", fontsize=8)
        _legend(figure)
    return figure


_THIN = {"linewidth": 1.3, "markersize": 3.6}
_LOOKS = {
    "ab": style.series(0, emphasis=True) | _THIN,
    "ba": style.series(1, emphasis=True) | _THIN | {"linestyle": (0, (5, 1.5))},
}
_NULL_LOOK = {"linestyle": (0, (1, 1.2)), "linewidth": 1.1}


def _panel(axes: Axes, found: Sequence[Mapping[str, Any]]) -> None:
    """One method: both maps with the range over seeds, markers far apart, and their nulls."""
    for way, look in _LOOKS.items():
        for null in (True, False):
            curve = sorted((row for row in found if (row["map"], row["null"]) == (way, null)), key=lambda row: row["k"])
            if not curve:
                continue
            k = np.array([row["k"] for row in curve])
            mean, low, high = (np.array([row[key] for row in curve]) for key in ("mean", "low", "high"))
            mean = np.where(mean >= FLOOR, mean, np.nan)
            if null:
                axes.plot(k, mean, **(look | _NULL_LOOK | {"marker": ""}), zorder=3)
                continue
            start = len(k) // (8 if way == "ab" else 4)  # the two maps' markers stand apart
            axes.plot(k, mean, **look, markevery=(start, max(1, len(k) // 4)), zorder=4)
            axes.fill_between(k, low.clip(FLOOR), high.clip(FLOOR), color=look["color"], alpha=0.2, linewidth=0)


def _legend(figure: Figure) -> None:
    """What the four lines are."""
    from matplotlib.lines import Line2D

    shown = {MAPS[way]: Line2D([], [], **look) for way, look in _LOOKS.items()}
    shown["the same, fitted on shuffled pairs"] = Line2D([], [], color=style.INK, **_NULL_LOOK)
    figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=3)
