"""What quality costs: the efficiency table, quality against compute as a figure, and where the time of a run went."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ngw import meter as cost
from ngw.errors import InputError
from ngw.report import style
from ngw.report.collate import Row, by_seeds, seeds_row
from ngw.report.records import Record, cell, name
from ngw.report.render import markdown, tex
from ngw.report.tables import (
    Line,
    Number,
    Pair,
    Table,
    budgets,
    budgets_of,
    count,
    encoder_pairs,
    headings,
    legend_of,
    lines_of,
    of,
    where,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUALITY = "mean_recall_1"
ALWAYS = (QUALITY, "train_seconds", "peak_memory_mb", "parameters")
METRICS = (QUALITY, *cost.COSTS, "parameters")
_ENERGY = "Energy and CO2 are codecarbon's estimates."
_MEANING = "Training alone: the frozen encoders, their cached features and the evaluation are the same for all."


def rows(records: Sequence[Record]) -> list[Row]:
    """Rows of the efficiency table: what a run reaches, and what its training took."""
    found = []
    for runs in by_seeds(records):
        values = {QUALITY: [record["metrics"].get(QUALITY) for record in runs]}
        values |= {metric: [record["cost"].get(metric) for record in runs] for metric in METRICS[1:]}
        for metric, numbers in values.items():
            if all(isinstance(number, int | float) for number in numbers):
                found.append(seeds_row(runs, metric, numbers, min(numbers), max(numbers)))
            elif metric in ALWAYS:
                raise InputError(f"record {name(cell(runs[0]))}: expected {metric} as a number, found {numbers}.")
    return found


def table(found: Sequence[Row], pair: Pair) -> Table:
    """Quality and cost of each method at its largest budget."""
    here = of(found, pair)
    largest = {method: at[-1] for method, at in budgets_of(here).items()}
    labelled = [
        row | {"pairs": "largest", "method": f"{row['method']} ({count(row['pairs'])})"}
        for row in here
        if row["pairs"] == largest[row["method"]]
    ]
    measured = {row["metric"] for row in labelled}
    shown = [metric for metric in METRICS if metric in measured]
    lines = lines_of(labelled, [[("largest", metric)] for metric in shown])
    legend = [text for text in legend_of(lines) if not text.startswith("–")]
    legend += ["– not measured."] * any(not c for line in lines for c in line.cells)
    return Table(
        title=f"Quality and cost of one run at the largest budget of each method: {where(pair)}",
        slug="-".join(["efficiency", *pair]),
        corner="method",
        header=headings(shown),
        lines=lines,
        legend=[_MEANING, *[_ENERGY] * ("energy_wh" in shown), *legend],
    )


def document(found: Sequence[Row], form: str) -> str:
    """The efficiency tables as one document; form: "md" or "tex"."""
    tables = [table(found, pair) for pair in encoder_pairs(found)]
    if form == "tex":
        return "\n".join(map(tex, tables))
    return "\n".join(["# Efficiency\n", *map(markdown, tables)])


class Point(NamedTuple):
    """A method at one budget: CPU seconds of training, mean R@1 in per cent."""

    method: str
    seconds: float
    quality: float


def points(found: Sequence[Row], pairs: str) -> list[Point]:
    """Every method at one budget, those that need no pairs included; controls aside."""
    at: dict[str, dict[tuple[bool, str], float]] = {}
    for row in found:
        if row["role"] != "control" and row["pairs"] in (pairs, "0"):
            at.setdefault(row["method"], {}).setdefault((row["pairs"] == "0", row["metric"]), row["mean"])
    chosen = []
    for method, values in at.items():
        free = (False, QUALITY) not in values
        seconds = values.get((free, "cpu_seconds"), values[free, "train_seconds"])
        chosen.append(Point(method, seconds, 100 * values[free, QUALITY]))
    return chosen


def front(found: Iterable[Point]) -> list[Point]:
    """The points that no other one beats in both: Pareto's front, from cheap to dear."""
    kept: list[Point] = []
    for point in sorted(found, key=lambda p: (p.seconds, -p.quality)):
        if not kept or point.quality > kept[-1].quality:
            kept.append(point)
    return kept


def figure(found: Sequence[Row], pair: Pair) -> Figure:
    """Quality against compute at the two largest budgets, with the front of what is worth its cost."""
    here = of(found, pair)
    taught = [pairs for pairs in budgets(r for r in here if r["role"] != "control") if pairs != "0"]
    panels = taught[-2:] or ["0"]
    main = {row["method"]: row["role"] == "method" for row in here if row["role"] != "control"}
    looks = {method: style.series(k, emphasis) for k, (method, emphasis) in enumerate(main.items())}
    with style.paper():
        drawn, axes = style.new(1, len(panels), 1.6 + 3.0 * len(panels), 3.0, sharey=True, sharex=True)
        for panel, pairs in zip(axes[0], panels, strict=True):
            _panel(panel, points(here, pairs), looks)
            panel.set_title(count(pairs))
            panel.set_xlabel("CPU seconds of training")
        axes[0, 0].set_ylabel("mean R@1 (%)")
        axes[0, 0].set_ylim(bottom=-3)  # both panels', now that both have their points
        labelled = [panel.get_legend_handles_labels() for panel in axes[0]]
        handles = {label: handle for found in labelled for handle, label in zip(*found, strict=True)}
        drawn.legend(handles.values(), map(style.name, handles), loc="outside right upper")
    return drawn


def _panel(axes: Axes, found: Sequence[Point], looks: Mapping[str, dict]) -> None:
    """One budget's points over the front's steps."""
    best = front(found)
    edge = 2 * max(point.seconds for point in found)
    axes.step(
        [*(p.seconds for p in best), edge], [*(p.quality for p in best), best[-1].quality], where="post",
        color=style.GREY, linestyle="--", linewidth=0.9, zorder=1, label="best at its cost",
    )  # fmt: skip
    for point in found:
        look = looks[point.method]
        axes.plot(
            [point.seconds], [point.quality], color=look["color"], marker=look["marker"], linestyle="none",
            markersize=7 if look["linewidth"] > 1.5 else 5.5, label=point.method, zorder=3,
        )  # fmt: skip
    style.logarithmic(axes.xaxis)
    axes.grid(axis="x")


class Stage(NamedTuple):
    """What the jobs of one rule took in all; jobs too short for CPU seconds to be sampled count with their seconds."""

    name: str
    jobs: int
    seconds: float
    cpu: float
    longest: float
    memory_mb: float


def stages(benchmarks: Mapping[str, str]) -> list[Stage]:
    """Snakemake's benchmark files ({path below the folder: text}) by rule, the costliest first."""
    of_stage: dict[str, list[dict[str, float]]] = {}
    for path, text in benchmarks.items():
        found = list(csv.DictReader(text.splitlines(), delimiter="\t"))
        if not found or not {"s", "cpu_time", "max_rss"} <= found[0].keys():
            raise InputError(f"{path}: expected a benchmark file of Snakemake, found other columns; delete it, rerun.")
        numbers = {key: _number(found[-1][key]) for key in ("s", "cpu_time", "max_rss")}
        of_stage.setdefault(path.split("/")[0].split(".")[0], []).append(numbers)
    made = []
    for stage, jobs in of_stage.items():
        seconds, cpu, memory = (np.array([job[key] for job in jobs]) for key in ("s", "cpu_time", "max_rss"))
        cpu = np.where(np.isnan(cpu) | (cpu == 0), seconds, cpu)
        peak = float(np.nanmax(memory)) if not np.isnan(memory).all() else math.nan
        made.append(Stage(stage, len(jobs), float(seconds.sum()), float(cpu.sum()), float(seconds.max()), peak))
    return sorted(made, key=lambda stage: -stage.seconds)


def _number(text: str) -> float:
    """A benchmark's number; a job that ended before it could be sampled has none."""
    return math.nan if text in ("NA", "-", "") else float(text)


def stages_table(found: Sequence[Stage]) -> Table:
    """Where the time went, a line a rule, and their sum."""
    whole = sum(stage.seconds for stage in found)
    lines = []
    for stage in found:
        cells = [
            f"{stage.jobs:,}", f"{stage.seconds:,.0f}", f"{100 * stage.seconds / whole:.1f}", f"{stage.cpu:,.0f}",
            f"{stage.longest:,.1f}", "–" if math.isnan(stage.memory_mb) else f"{stage.memory_mb:,.0f}",
        ]  # fmt: skip
        lines.append(Line(stage.name, [[Number(text)] for text in cells]))
    total = [sum(s.jobs for s in found), whole, 100, sum(s.cpu for s in found)]
    cells = [f"{number:,.0f}" for number in total] + [f"{max(s.longest for s in found):,.1f}"]
    cells.append(f"{np.nanmax([0, *(s.memory_mb for s in found)]):,.0f}")
    lines.append(Line("all", [[Number(text)] for text in cells]))
    return Table(
        title="Where the time went: the last run of every job",
        slug="stages",
        corner="rule",
        header=["jobs", "seconds", "% of them", "CPU (s)", "longest (s)", "peak memory (MB)"],
        lines=lines,
        legend=["Seconds of jobs, summed: jobs run side by side, so a run takes less."],
    )


def stages_files(found: Sequence[Stage]) -> dict[str, str]:
    """The stages' table as csv, Markdown and TeX."""
    numbers = [",".join(map(str, [s.name, s.jobs, *(f"{v:.3f}" for v in s[2:])])) for s in found]
    shown = stages_table(found)
    return {
        "stages.csv": "\n".join(["rule,jobs,seconds,cpu_seconds,longest_seconds,peak_memory_mb", *numbers]) + "\n",
        "stages.md": f"# Where the time went\n\n{markdown(shown)}",
        "stages.tex": tex(shown),
    }
