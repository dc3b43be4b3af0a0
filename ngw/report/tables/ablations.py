"""The ablation table (one option of a method changed at a time, against the method itself) and its figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ngw.errors import InputError
from ngw.report import style
from ngw.report.frames import CHANGE, PAIR, Pair, encoder_pairs, in_words, of, over_seeds, rounded, to_csv
from ngw.report.layout import Line, Number, Table, legend_of, per_cent, points, tenths, text_line, where, whole
from ngw.report.records import IDENTITY, Cell, Record, check, identity, pair
from ngw.report.render import files
from ngw.report.statistics import DRAWS, Predictions, Samples, intervals, paired_difference, with_samples
from ngw.report.tables.retrieval import samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Group = Mapping[str, Any]  # base, unpaired, option, rows [[value, method, unpaired], ...]: see `Config.ablation_groups`

SHOWN = ("i2t_recall_1", "t2i_recall_1", "mean_recall_1")
WHO = ("dataset", "vision", "text", "base", "option", "value", "method", "pairs", "unpaired", "metric")
KEPT = ["step", "support"]
COLUMNS = (*WHO, "mean", "std", "low", "high", *CHANGE, *KEPT, "n_seeds", "role", "converged")
_LEGEND = (
    "difference: the mean R@1 of both directions minus the base's, in points. 95 % interval: bootstrap, paired and"
    " clustered by image.",
    "step: the training step whose weights the maps keep, mean over seeds. At 0, training did not improve on the closed"
    " form on held-out rows, so the coefficients of the objective change nothing.",
    "support: the plan's effective support, the number of captions that share an image's transported mass; mean over"
    " images and seeds.",
    "setting: the partners of unpaired rows are in the other cloud (shared) or not (disjoint); foreign: as disjoint,"
    " with captions from another data set.",
    "A word in place of a number stands for null in the config: all rows (unpaired_rows), the ridge penalty"
    " (smoothness), exact marginals (tau), no whitening (whiten), no second plan (sharp_whiten), a choice on held-out"
    " pairs (hubness).",
)
NULL = {  # the word for null, by option
    "unpaired_rows": "all", "smoothness": "ridge", "tau": "exact", "whiten": "none", "sharp_whiten": "one plan",
    "hubness": "chosen",
}  # fmt: skip


def build(
    records: Sequence[Record], ranks: Mapping[Cell, Predictions], expected: Iterable[Cell], groups: Sequence[Group],
    name: str = "ablations", draws: int = DRAWS,
) -> dict[str, str]:  # fmt: skip
    """The files of `results/tables` by name, as text; a missing, doubled or extra record is an `InputError`.

    records, ranks: metrics and predictions of every run, as for the retrieval table.
    """
    if not groups:
        raise InputError("config: tables.ablations: expected values to vary, found none; add the section.")
    check(records, expected)
    long = rows(records, samples(records, ranks, draws), groups)
    sizes = {pair(record): (record["n_images"], record["n_captions"]) for record in records}
    tables = [_table(of(long, who), who, sizes[who]) for who in encoder_pairs(long)]
    return {f"{name}.csv": to_csv(long[list(COLUMNS)]), **files(name, "Ablations", tables)}


def rows(records: Sequence[Record], sampled: Samples, groups: Sequence[Group]) -> pd.DataFrame:
    """The numbers over seeds of each group, value and metric, and the difference to the base; the base has none.

    converged: whether both did, the row's runs and the base's.
    """
    metrics = over_seeds(records, lambda run: {m: run["metrics"][m] for m in SHOWN}, intervals(sampled))
    metrics = with_samples(metrics, sampled).merge(_kept(records), on=list(IDENTITY))
    of_base = {"method": "base", "unpaired": "of_unpaired", "sample": "of_sample", "converged": "of_converged"}
    bases = metrics.rename(columns=of_base)[[*PAIR, "metric", *of_base.values()]]
    values = pd.DataFrame(groups).rename(columns={"unpaired": "of_unpaired"}).explode("rows", ignore_index=True)
    values[["value", "method", "unpaired"]] = values.pop("rows").tolist()
    places = metrics[PAIR].drop_duplicates().merge(values, how="cross")
    long = places.merge(metrics, on=[*PAIR, "method", "unpaired"]).merge(
        bases, on=[*PAIR, "base", "of_unpaired", "metric"]
    )
    long[CHANGE] = [
        (np.nan,) * 4
        if (row.method, row.unpaired) == (row.base, row.of_unpaired)
        else paired_difference(row.sample, row.of_sample)[:4]
        for row in long.itertuples()
    ]
    long["converged"] &= long["of_converged"]
    return rounded(long, [*CHANGE, *KEPT])


def _is_base(rows: pd.DataFrame) -> pd.Series:
    """Which rows are a base itself, which has no difference."""
    return rows["difference"].isna()


def _kept(records: Sequence[Record]) -> pd.DataFrame:
    """The kept step and the plan's support, as means over the seeds that have them."""
    runs = pd.DataFrame(
        identity(record) | {"step": record.get("step"), "support": (record.get("plan") or {}).get("effective_support")}
        for record in records
    )
    return runs.astype(dict.fromkeys(KEPT, float)).groupby(list(IDENTITY), as_index=False).mean()


def _table(here: pd.DataFrame, who: Pair, size: tuple[int, int]) -> Table:
    """One line per value: R@1 both ways and their mean, the difference to the base, the kept step, the support."""
    base = here["base"].iloc[0]
    budget, unpaired = here.loc[_is_base(here), ["pairs", "unpaired"]].iloc[0]
    values = here.groupby(["base", "option", "value"], sort=False)
    lines = [_line(rows.drop_duplicates("metric").set_index("metric"), base, budget) for _, rows in values]
    return Table(
        title=f"Ablations of {base}, {budget} pairs{in_words(unpaired)}, R@1 in per cent: {where(who, size)}",
        slug="-".join(["ablations", *who]),
        corner="option",
        header=["value", "image to text", "text to image", "mean", "difference", "95 % interval", "step", "support"],
        lines=lines,
        legend=[*_LEGEND, *legend_of(lines, dash=False, place="line")],
    )


def _line(metrics: pd.DataFrame, base: str, budget: str) -> Line:
    """One line: its rates, the difference to its base, the kept step, the support."""
    row = metrics.loc["mean_recall_1"]
    label, value = _label(row, base, budget)
    spread = row["n_seeds"] > 1
    rates = [
        [Number(per_cent(mean), per_cent(std) if spread else "")]
        for mean, std in metrics.loc[list(SHOWN), ["mean", "std"]].itertuples(index=False)
    ]
    change = ["base", ""]
    if not np.isnan(row["difference"]):
        difference, low, high = (points(row[key]) for key in CHANGE[:3])
        change = [difference, f"{low} to {high}"]
    kept = ["" if np.isnan(row[key]) else show(row[key]) for key, show in (("step", whole), ("support", tenths))]
    before, behind = text_line(label, [value]), text_line(label, [*change, *kept])
    return Line(label, [*before.cells, *rates, *behind.cells], converged=bool(row["converged"]))


def _label(row: Mapping[str, Any], base: str, budget: str) -> tuple[str, str]:
    """A line's option and value, with the base or the budget where it differs from the table's."""
    label = row["option"] + ("" if row["base"] == base else f" (of {row['base']})")
    return label, _word(row["option"], row["value"]) + ("" if row["pairs"] == budget else f" ({row['pairs']} pairs)")


def methods(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    """{(option, value), as printed in the table: method}, from the rows of the csv."""
    named: dict[tuple[str, str], str] = {}
    for who in encoder_pairs(rows):
        here = of(rows, who)
        base, budget = here["base"].iloc[0], here.loc[_is_base(here), "pairs"].iloc[0]
        named |= {_label(row, base, budget): row["method"] for row in here.to_dict("records")}
    return named


def figure(rows: pd.DataFrame, pair: Pair) -> Figure:
    """Mean R@1 of both directions, one panel per option, one line per base; a base's own point is filled.

    A dashed line marks the first base of a panel.  Where epsilon varies, one more panel shows the effective support.
    """
    here = of(rows, pair)
    here = here[here["metric"] == "mean_recall_1"]
    options = dict(list(here.groupby("option", sort=False)))
    bases = list(dict.fromkeys(here["base"]))
    looks = dict(zip(bases, map(_look, range(len(bases))), strict=True))
    supports = [own[own["base"] == bases[0]] for option, own in options.items() if option == "epsilon"]
    supports = [own for own in supports if len(own) and own["support"].notna().all()]
    with style.paper():
        drawn, panels = style.grid(len(options) + len(supports), (0.6, 1.75), (0.6, 1.75), sharey=True)
        for axes, (option, own) in zip(panels, options.items(), strict=False):
            _panel(axes, own, looks)
            axes.set_title(style.fold(option, 26, 2))
        for own in supports:  # on a scale of its own
            panels[-1].set_visible(False)
            _support(drawn.add_subplot(panels[-1].get_subplotspec()), own, looks[bases[0]])
        top = 105 * here["high"].max()
        panels[0].set_ylim(-0.04 * top, top)  # a point at zero is drawn whole
        drawn.supylabel("mean R@1 of both directions (%)", fontsize=8)
        shown = {f"{style.fold(_short(base), 26)}, unchanged": style.line(**_POINT, **looks[base]) for base in bases}
        shown |= {
            "one option changed": style.line(**_POINT, **_OPEN, marker="o", markeredgecolor=style.INK),
            "95 % interval": style.band(looks[bases[0]]["color"], 0.45),
            "level of a panel's first base": style.line(**_LEVEL),
        }
        drawn.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=3)
    return drawn


_POINT = {"linestyle": "", "markersize": 4.6}
_OPEN = {"markerfacecolor": "white", "markeredgewidth": 1.1}
_LEVEL = {"color": style.GREY, "linestyle": (0, (4, 2)), "linewidth": 0.9, "zorder": 1}


def _look(k: int) -> dict[str, str]:
    """Colour and marker of base k: the series of the other figures, except that the first is blue."""
    return {"color": style.series({0: 1, 1: 0}.get(k, k), False)["color"], "marker": style.series(k, False)["marker"]}


def _panel(axes: Axes, rows: pd.DataFrame, looks: Mapping[str, Mapping[str, str]]) -> None:
    """One option: its values as points with 95 % intervals, joined where they are numbers; bases side by side."""
    places, apart = _places(axes, rows), dict.fromkeys(rows["base"])
    axes.axhline(100 * rows.loc[_is_base(rows), "mean"].iloc[0], **_LEVEL)
    for k, base in enumerate(apart):
        own = rows[rows["base"] == base]
        aside = 0.0 if axes.get_xscale() == "log" else 0.11 * (k - (len(apart) - 1) / 2)
        x = own["value"].map(places).to_numpy() + aside
        mean, low, high = 100 * own[["mean", "low", "high"]].to_numpy().T
        axes.vlines(x, low, high, color=looks[base]["color"], alpha=0.45, linewidth=2.4, zorder=2)
        _points(axes, own, x, mean, looks[base])


def _points(axes: Axes, rows: pd.DataFrame, x: np.ndarray, y: np.ndarray, look: Mapping[str, str]) -> None:
    """The base's point filled, the others open; numbers are joined."""
    is_base, numbers = _is_base(rows).to_numpy(), ~np.isnan(_numbers(rows["value"]))
    axes.plot(x[numbers], y[numbers], color=look["color"], linewidth=1.1, marker="", zorder=3)
    axes.plot(x[~is_base], y[~is_base], **_POINT, **_OPEN, **look, markeredgecolor=look["color"], zorder=4)
    axes.plot(x[is_base], y[is_base], **_POINT, **look, zorder=5)


def _support(axes: Axes, rows: pd.DataFrame, look: Mapping[str, str]) -> None:
    """How many captions an image's mass is spread over, at each epsilon."""
    _points(axes, rows, rows["value"].map(_places(axes, rows)).to_numpy(), rows["support"].to_numpy(), look)
    style.logarithmic(axes.yaxis)
    axes.minorticks_off()
    axes.set_title("support, by epsilon")


def _places(axes: Axes, rows: pd.DataFrame) -> dict[str, float]:
    """The values' positions: on a log axis where they span a decade, else side by side, numbers in their order."""
    from matplotlib.ticker import NullLocator

    values = sorted(dict.fromkeys(rows["value"]), key=lambda value: np.nan_to_num(_numbers([value])[0], nan=np.inf))
    numbers = _numbers(values)
    if numbers.min() > 0 and numbers.max() >= 10 * numbers.min():  # both are false for a word's NaN
        axes.set_xscale("log")
        axes.set_xlim(numbers.min() / 1.4, numbers.max() * 1.4)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(numbers, [f"{number:g}" for number in numbers], **_ASLANT)
        return dict(zip(values, numbers, strict=True))
    words = [style.fold(text, 30) for text in _words([_word(rows["option"].iloc[0], value) for value in values])]
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.set_xticks(range(len(values)), words, **(_ASLANT if max(map(len, words)) > 5 else {}))
    return {value: float(k) for k, value in enumerate(values)}


_ASLANT = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}


def _word(option: str, value: str) -> str:
    """A value as printed; null as its option's word."""
    name, *further = value.split(", ")
    return ", ".join([NULL.get(option, name) if name == "null" else name, *further])


def _words(values: Sequence[str]) -> list[str]:
    """Each value without its further options, except the first that distinguishes it from an equal value."""
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


def _numbers(values: Sequence[str]) -> np.ndarray:
    """The values that are numbers, NaN for a word."""
    return np.array(pd.to_numeric(pd.Series(values), errors="coerce"), float)
