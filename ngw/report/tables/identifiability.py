"""The identifiability tables (each number beside its shuffled null) and the figure of the Jacobians' spectra."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ngw.metrics.identifiability import BALL, NEAREST, coverage_ceiling
from ngw.report import style
from ngw.report.frames import Pair, at, encoder_pairs, of, over_seeds, rounded, to_csv
from ngw.report.layout import MAPS, NULL, Table, headings, legend_of, lines_of
from ngw.report.records import IDENTITY, Cell, Record, check, identity, pair
from ngw.report.render import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPECTRUM = (*IDENTITY, "map", "null", "k")
SHOWN = (
    "margin", "collision", "precision", "recall", "coverage", "spread", "lipschitz_99", "jacobian_max",
    "jacobian_rank", "cycle",
)  # fmt: skip
FLOOR = 1e-3  # smaller singular values are not drawn
_LEGEND = (
    "Each cell: the map / its null, the same method fitted on shuffled pairs; a method without pairs has no null.",
    "margin (injectivity): smallest distance between two mapped rows, as a share of their mean distance.",
    f"collisions (injectivity, %): rows whose nearest neighbour after mapping isn't one of the {NEAREST} before.",
    f"precision, recall, coverage (surjectivity, %): of mapped against target rows, as directions from the mean (what"
    f" cosines compare), by balls that reach the {BALL}th neighbour. spread: of mapped rows, as a share of targets'.",
    "Lipschitz, |J|, rank of J (smoothness): 99 % quantile of |T(x) - T(x')| / |x - x'|, largest singular value of the"
    " Jacobian, and its effective rank; in units of the two spaces' spreads.",
    "cycle error (invertibility): of mapping there and back, as a share of the variance; 1 for the best constant map.",
)


def build(records: Sequence[Record], expected: Iterable[Cell]) -> dict[str, str]:
    """The files of `results/tables` by name, as text; a missing, doubled or extra record is an `InputError`.

    records: metrics/identifiability.json of every run, in the tables' order.
    """
    check(records, expected)
    long = over_seeds(records, _values)
    sizes = {pair(record): record["n_images"] for record in records}
    tables = [_table(of(long, who), who, way, sizes[who]) for who in encoder_pairs(long) for way in MAPS]
    return {
        "identifiability.csv": to_csv(long),
        **files("identifiability", "Identifiability", tables),
        "identifiability-spectrum.csv": to_csv(spectra(records)),
    }


def _values(record: Record) -> dict[str, float]:
    """The numbers of one run, and those of its null."""
    return record["metrics"] | {metric + NULL: value for metric, value in (record["null"] or {}).items()}


def spectra(records: Sequence[Record]) -> pd.DataFrame:
    """The k-th singular value of each map and of its null, over seeds."""
    values = (
        {**identity(record), "map": way, "null": null, "k": k, "value": value, "role": record["role"]}
        for record in records
        for null, field in ((False, "spectra"), (True, "null_spectra"))
        for way, spectrum in (record[field] or {}).items()
        for k, value in enumerate(spectrum, 1)
    )
    rows = pd.DataFrame(values, columns=[*SPECTRUM, "value", "role"])
    rows = rows.groupby(list(SPECTRUM), sort=False, as_index=False).agg(
        mean=("value", "mean"), low=("value", "min"), high=("value", "max"), n_seeds=("value", "size"),
        role=("role", "first"),
    )  # fmt: skip
    return rounded(rows, ["mean", "low", "high"])


def _table(here: pd.DataFrame, who: Pair, way: str, size: int) -> Table:
    """One map's table: one line per method, one column per metric; a cell has a number and its null without spread."""
    here = here[here["metric"].str.startswith(f"{way}_")]
    budget = Counter(here["pairs"]).most_common(1)[0][0]
    clouds = at(here, budget)
    beside = here["method"] + " (" + here["pairs"] + " pairs)"
    here = here.assign(method=here["method"].where(here["pairs"] == budget, beside), pairs=budget)
    failed = set(here.loc[~here["converged"], "method"])
    shown = here.assign(converged=True, n_seeds=here["n_seeds"].where(~here["metric"].str.endswith(NULL), 1))
    columns = [[(budget, f"{way}_{metric}{end}") for end in ("", NULL)] for metric in SHOWN]
    lines = [replace(line, converged=line.label not in failed) for line in lines_of(shown, columns)]
    source, target = who[1:] if way == "ab" else who[:0:-1]
    ceiling = f"Two samples of one distribution have {100 * coverage_ceiling(size, size):.1f} % coverage on average."
    return Table(
        title=f"Identifiability of {MAPS[way]}, {source} to {target}, {clouds}: {who[0]} ({size:,} test pairs)",
        slug="-".join(["identifiability", *who, way]),
        corner="method",
        header=headings(SHOWN),
        lines=lines,
        legend=[*_LEGEND, ceiling, *legend_of(lines, dash=False, place="line")],
    )


def spectrum_figure(rows: pd.DataFrame, pair: Pair) -> Figure:
    """Singular values of both maps' Jacobians on held-out rows, one panel per method; dotted: shuffled pairs."""
    from matplotlib.ticker import NullLocator

    rows = of(rows, pair)
    controls = set(rows.loc[rows["role"] == "control", "method"])
    methods = sorted(rows["method"].unique(), key=lambda method: method in controls)
    with style.paper():
        figure, panels = style.grid(len(methods), (1.0, 1.55), (0.7, 1.45), sharex=True, sharey=True)
        for place, (axes, method) in enumerate(zip(panels, methods, strict=True)):
            _panel(axes, rows[rows["method"] == method])
            axes.set_title(style.fold(method, 24, 2), color=style.GREY if method in controls else style.INK)
            axes.xaxis.set_tick_params(labelbottom=place + style.COLUMNS >= len(methods))  # the lowest of its column
        style.logarithmic(panels[0].yaxis)
        panels[0].set_ylim(FLOOR, 1.5 * rows["high"].max())
        panels[0].yaxis.set_minor_locator(NullLocator())
        figure.supxlabel("k", fontsize=8)
        figure.supylabel("k-th singular value of the Jacobian", fontsize=8)
        shown = {MAPS[way]: style.line(**look) for way, look in _LOOKS.items()}
        shown["the same, fitted on shuffled pairs"] = style.line(color=style.INK, **_NULL_LOOK)
        figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=3)
    return figure


_THIN = {"linewidth": 1.3, "markersize": 3.6}
_LOOKS = {
    "ab": style.series(0, emphasis=True) | _THIN,
    "ba": style.series(1, emphasis=True) | _THIN | {"linestyle": (0, (5, 1.5))},
}
_NULL_LOOK = {"linestyle": (0, (1, 1.2)), "linewidth": 1.1}


def _panel(axes: Axes, rows: pd.DataFrame) -> None:
    """One method: both maps with the range over seeds, markers far apart, and their nulls."""
    for (way, null), curve in rows.sort_values("k").groupby(["map", "null"]):
        k, mean, low, high = curve[["k", "mean", "low", "high"]].to_numpy().T
        mean, look = np.where(mean >= FLOOR, mean, np.nan), _LOOKS[way]
        if null:
            axes.plot(k, mean, **(look | _NULL_LOOK | {"marker": ""}), zorder=3)
            continue
        start = len(k) // (8 if way == "ab" else 4)  # the two maps' markers stand apart
        axes.plot(k, mean, **look, markevery=(start, max(1, len(k) // 4)), zorder=4)
        axes.fill_between(k, low.clip(FLOOR), high.clip(FLOOR), color=look["color"], alpha=0.2, linewidth=0)
