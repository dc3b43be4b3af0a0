"""What quality costs: the efficiency table, quality against compute as a figure, and where the time of a run went."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from ngw import meter
from ngw.errors import InputError
from ngw.features.clouds import NONE
from ngw.report import style
from ngw.report.frames import (
    Pair,
    at,
    budgets,
    count,
    encoder_pairs,
    in_setting,
    in_words,
    of,
    over_seeds,
    settings,
    taught,
    to_csv,
)
from ngw.report.layout import Table, headings, metric_table, tenths, text_line, where, whole
from ngw.report.records import Record, by_seeds, cell, name
from ngw.report.render import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUALITY = "mean_recall_1"
ALWAYS = (QUALITY, "train_seconds", "peak_memory_mb", "parameters")
METRICS = (QUALITY, *meter.COSTS, "parameters")
SECONDS = ["cpu_seconds", "train_seconds"]  # of training; CPU seconds where they are known
_ENERGY = "Energy and CO2 are codecarbon's estimates."
_MEANING = "Costs of training alone; frozen encoders, cached features and evaluation are the same for all methods."


def build(records: Sequence[Record]) -> dict[str, str]:
    """The files of `results/tables` by name, as text."""
    long = rows(records)
    tables = [table(long, who) for who in encoder_pairs(long)]
    return {"efficiency.csv": to_csv(long), **files("efficiency", "Efficiency", tables)}


def rows(records: Sequence[Record]) -> pd.DataFrame:
    """Rows of the efficiency table: a run's quality and the cost of its training."""
    for runs in by_seeds(records):
        for metric in ALWAYS:
            numbers = [_values(run)[metric] for run in runs]
            if not all(isinstance(number, int | float) for number in numbers):
                raise InputError(
                    f"record {name(cell(runs[0]))}: expected {metric} as a number, found {numbers}; run its job again."
                )
    return over_seeds(records, _values)


def _values(record: Record) -> dict[str, Any]:
    """The numbers of one run, None where one wasn't measured."""
    return {QUALITY: record["metrics"].get(QUALITY)} | {metric: record["cost"].get(metric) for metric in METRICS[1:]}


def table(long: pd.DataFrame, who: Pair) -> Table:
    """Quality and cost of each method at its largest budget, in the first setting."""
    here = in_setting(of(long, who), NONE)
    unpaired = in_words(settings(here)[0])
    largest = here["method"].map(here.groupby("method")["pairs"].agg(lambda pairs: budgets(pairs)[-1]))
    here = here[here["pairs"] == largest]
    here = here.assign(pairs="largest", method=here["method"] + " (" + here["pairs"].map(count) + ")")
    shown = [metric for metric in METRICS if metric in set(here["metric"])]
    table = metric_table(
        here,
        [[("largest", metric)] for metric in shown],
        title=f"Quality and cost of one run at the largest budget of each method{unpaired}: {where(who)}",
        slug=["efficiency", *who],
        header=headings(shown),
        notes=[_MEANING, *[_ENERGY] * ("energy_wh" in shown)],
        dash=False,
    )
    dash = ["– not measured."] * any(not numbers for line in table.lines for numbers in line.cells)
    return replace(table, legend=[*table.legend, *dash])


class Point(NamedTuple):
    """A method at one budget: CPU seconds of training, mean R@1 in per cent."""

    method: str
    seconds: float
    quality: float


def points(long: pd.DataFrame, pairs: str) -> list[Point]:
    """Every method at one budget, those that need no pairs included; controls aside."""
    methods = long[long["role"] != "control"]
    here = methods["pairs"] == pairs
    free = (methods["pairs"] == "0") & ~methods["method"].isin(methods.loc[here, "method"])
    chosen = methods[here | free]
    at = chosen.pivot_table(index="method", columns="metric", values="mean", aggfunc="last")
    at = at.reindex(index=chosen["method"].unique(), columns=[*SECONDS, QUALITY])
    seconds = at[SECONDS].bfill(axis=1)[SECONDS[0]]
    return [Point(*point) for point in zip(at.index, seconds, 100 * at[QUALITY], strict=True)]


def front(points: Iterable[Point]) -> list[Point]:
    """The Pareto front: points that no other beats in both cost and quality, the cheapest first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.seconds, -p.quality)):
        if not kept or point.quality > kept[-1].quality:
            kept.append(point)
    return kept


def figure(long: pd.DataFrame, who: Pair) -> Figure:
    """Quality against compute at the two largest budgets, with the Pareto front."""
    here = in_setting(of(long, who), NONE)
    panels = taught(here)[-2:]
    looks = style.looks(here)
    with style.paper():
        drawn, axes = style.new(1, len(panels), 1.6 + 3.0 * len(panels), 3.0, sharey=True, sharex=True)
        for panel, pairs in zip(axes[0], panels, strict=True):
            _panel(panel, points(here, pairs), looks)
            panel.set_title(at(here, pairs))
            panel.set_xlabel("CPU seconds of training")
        axes[0, 0].set_ylabel("mean R@1 (%)")
        axes[0, 0].set_ylim(bottom=-3)  # both panels', now that both have their points
        labelled = [panel.get_legend_handles_labels() for panel in axes[0]]
        handles = {label: handle for legend in labelled for handle, label in zip(*legend, strict=True)}
        drawn.legend(handles.values(), map(style.name, handles), loc="outside right upper")
    return drawn


def _panel(axes: Axes, points: Sequence[Point], looks: Mapping[str, dict]) -> None:
    """One budget's points over the front's steps."""
    best = front(points)
    edge = 2 * max(point.seconds for point in points)
    axes.step(
        [*(p.seconds for p in best), edge], [*(p.quality for p in best), best[-1].quality], where="post",
        color=style.GREY, linestyle="--", linewidth=0.9, zorder=1, label="best at its cost",
    )  # fmt: skip
    for point in points:
        look = looks[point.method]
        axes.plot(
            [point.seconds], [point.quality], color=look["color"], marker=look["marker"], linestyle="none",
            markersize=7 if look["linewidth"] > 1.5 else 5.5, label=point.method, zorder=3,
        )  # fmt: skip
    style.logarithmic(axes.xaxis)
    axes.grid(axis="x")


def stages(benchmarks: Mapping[str, str]) -> pd.DataFrame:
    """Total time and peak memory of each rule's jobs, from Snakemake's benchmark files ({path below the folder: text}).

    The costliest rule comes first.  A job too short for Snakemake to sample its CPU seconds counts its wall seconds.
    """
    jobs = []
    for path, text in benchmarks.items():
        try:
            last = pd.read_csv(io.StringIO(text), sep="\t", na_values=["-"]).iloc[-1]
            jobs.append({"rule": path.split("/")[0].split(".")[0], **last[["s", "cpu_time", "max_rss"]]})
        except (ValueError, LookupError) as error:
            words = "expected a benchmark file of Snakemake, found other columns; delete it and rerun."
            raise InputError(f"{path}: {words}") from error
    frame = pd.DataFrame(jobs).astype({"s": float, "cpu_time": float, "max_rss": float})
    frame["cpu_time"] = frame["cpu_time"].where(frame["cpu_time"] > 0, frame["s"])
    rules = frame.groupby("rule", sort=False, as_index=False).agg(
        jobs=("s", "size"), seconds=("s", "sum"), cpu_seconds=("cpu_time", "sum"), longest_seconds=("s", "max"),
        peak_memory_mb=("max_rss", "max"),
    )  # fmt: skip
    return rules.sort_values("seconds", ascending=False, kind="stable", ignore_index=True)


def stages_files(rules: pd.DataFrame) -> dict[str, str]:
    """The stages' table as csv, Markdown and TeX."""
    text = to_csv(rules, float_format="%.3f", na_rep="nan")
    return {"stages.csv": text, **files("stages", "Where the time went", [stages_table(rules)])}


def stages_table(rules: pd.DataFrame) -> Table:
    """Where the time went, one line per rule, and their sum; memory that no job was long enough to show is a dash."""
    total = rules.agg({
        "jobs": "sum", "seconds": "sum", "cpu_seconds": "sum", "longest_seconds": "max", "peak_memory_mb": "max",
    }).fillna(0)  # fmt: skip
    shares = 100 * rules["seconds"] / total["seconds"]
    every = [*zip(rules["rule"], rules.to_dict("records"), map(tenths, shares), strict=True), ("all", total, "100")]
    return Table(
        title="Where the time went: the last run of every job",
        slug="stages",
        corner="rule",
        header=["jobs", "seconds", "% of them", "CPU (s)", "longest (s)", "peak memory (MB)"],
        lines=[text_line(rule, _stage(numbers, share)) for rule, numbers, share in every],
        legend=["Seconds are summed over jobs; jobs run in parallel, so a whole run takes less time."],
    )


def _stage(numbers: Mapping[str, float], share: str) -> list[str]:
    """The cells of a rule, or of all of them."""
    jobs, seconds, cpu = (whole(numbers[key]) for key in ("jobs", "seconds", "cpu_seconds"))
    memory = "" if pd.isna(numbers["peak_memory_mb"]) else whole(numbers["peak_memory_mb"])
    return [jobs, seconds, share, cpu, tenths(numbers["longest_seconds"]), memory]
