"""The layout of the tables, from rows to cells: order, best numbers, controls, marks.

`ngw.report.render` turns a `Table` into Markdown, TeX or plain text, so the three show the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ngw.report.frames import Pair, budgets, encoder_pairs, of

DIRECTIONS = {"i2t": "image to text", "t2i": "text to image"}
MAPS = {"ab": "T_AB", "ba": "T_BA"}
NULL = "_null"  # ends the name of a metric's shuffled null
LEVEL = 0.05
PAIRED = (
    "Bootstrap, paired and clustered by image, at the seeds that both have; p is two-sided and not corrected for the"
    " number of lines."
)


@dataclass(frozen=True)
class Number:
    """One printed number: `text`, its spread over seeds (empty for one seed), whether it is best of its column."""

    text: str
    spread: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a table: a label and its cells, each of one number or more; an empty cell prints as a dash."""

    label: str
    cells: Sequence[Sequence[Number]]
    control: bool = False
    converged: bool = True


@dataclass(frozen=True)
class Table:
    """A table as laid out: `slug` names it for references, `corner` heads the labels, `legend` is its small print."""

    title: str
    slug: str
    corner: str
    header: Sequence[str]
    lines: Sequence[Line]
    legend: Sequence[str] = field(default=())


class Style(NamedTuple):
    """How a metric is shown; sign: 1 where higher is better, -1 where lower is, 0 where the best isn't marked."""

    heading: str
    show: Callable[[float], str]
    sign: int


whole = "{:,.0f}".format
tenths = "{:,.1f}".format
hundredths = "{:.2f}".format
thousandths = "{:.3f}".format


def per_cent(value: float) -> str:
    """A rate in per cent."""
    return f"{100 * value:.1f}"


def points(difference: float) -> str:
    """A difference of two rates, in percentage points."""
    return f"{100 * difference:+z.1f}"  # z: no minus before a zero


_STYLES = {
    metric: Style(heading, show, sign)
    for (show, sign), headings in {
        (per_cent, 1): {
            "recall_1": "R@1", "recall_1_1k": "R@1, 1k", "recall_5": "R@5", "recall_10": "R@10", "mrr": "MRR",
            "mean_recall_1": "R@1, mean of both",
            "bleu_4": "BLEU-4", "meteor": "METEOR", "rouge_l": "ROUGE-L", "cider": "CIDEr",
            "nearest_meteor": "nearest METEOR", "nearest_cider": "nearest CIDEr",
            "cosine": "cosine", "nearest_cosine": "nearest cosine",
            "accuracy": "accuracy", "accuracy_yes_no": "yes/no", "accuracy_number": "number",
            "accuracy_other": "other", "always_accuracy": "always",
            "top_1": "top-1", "top_5": "top-5", "mean_per_class": "mean per class",
            "precision": "precision", "recall": "recall", "coverage": "coverage",
        },
        (per_cent, -1): {"foscttm": "FOSCTTM", "kd": "kernel distance", "collision": "collisions"},
        (tenths, 1): {"score": "score", "nearest_score": "nearest score"},
        (tenths, 0): {"train_seconds": "training (s)", "cpu_seconds": "CPU (s)", "gpu_seconds": "GPU (s)"},
        (tenths, -1): {"median_rank": "median rank", "fd": "distance"},
        (whole, 0): {
            "gpu_memory_mb": "GPU memory (MB)", "peak_memory_mb": "peak memory (MB)", "parameters": "parameters",
            "jacobian_rank": "rank of J",
        },
        (hundredths, 0): {
            "energy_wh": "energy (Wh)", "co2_g": "CO2 (g)", "alpha_a": "alpha_A", "alpha_b": "alpha_B",
            "spread": "spread", "lipschitz_99": "Lipschitz", "jacobian_max": "|J|",
        },
        (thousandths, 1): {"margin": "margin"},
        (thousandths, -1): {"cycle": "cycle error"},
    }.items()
    for metric, heading in headings.items()
}  # fmt: skip


def style(metric: str) -> Style:
    """A metric's style in either direction; the best null isn't marked."""
    name = metric.removesuffix(NULL)
    way, _, rest = name.partition("_")
    shown = _STYLES[rest if way in (*DIRECTIONS, *MAPS) else name]
    return shown._replace(sign=0) if metric.endswith(NULL) else shown


def headings(metrics: Iterable[str]) -> list[str]:
    """The column headings of some metrics."""
    return [style(metric).heading for metric in metrics]


def metric_table(
    rows: pd.DataFrame, columns: Sequence[Sequence[tuple[str, str]]], *, title: str, slug: Sequence[str],
    header: Sequence[str], corner: str = "method", notes: Sequence[str] = (), chance: float | None = None,
    dash: bool = True,
) -> Table:  # fmt: skip
    """A table of `lines_of` rows: its notes stand before the small print of its lines (`dash`: see `legend_of`)."""
    lines = lines_of(rows, columns, chance)
    return Table(title, "-".join(slug), corner, header, lines, [*notes, *legend_of(lines, dash)])


def lines_of(
    rows: pd.DataFrame, columns: Sequence[Sequence[tuple[str, str]]], chance: float | None = None
) -> list[Line]:
    """One line per method, methods first and controls last; `columns` has the (pairs, metric) of each cell's numbers.

    chance: the value that guessing reaches for every number, where it is known.
    """
    if rows.empty:
        return []
    keys = {key for column in columns for key in column}
    cells = rows[[key in keys for key in zip(rows["pairs"], rows["metric"], strict=True)]]
    best = _best(cells)
    numbers = {
        (row.method, row.pairs, row.metric): _number(row, best.get((row.pairs, row.metric)), chance)
        for row in cells.itertuples()
    }
    lines = []
    for method, control in dict.fromkeys(zip(rows["method"], rows["role"] == "control", strict=True)):
        line = [[numbers[method, *key] for key in column if (method, *key) in numbers] for column in columns]
        converged = not any("†" in number.text for cell in line for number in cell)
        lines.append(Line(method, line, control, converged))
    return sorted(lines, key=lambda line: line.control)


def _best(rows: pd.DataFrame) -> dict[tuple[str, str], str]:
    """The best mean of each column as printed, so that numbers that print alike are marked alike."""
    best = {}
    for (pairs, metric), means in rows[rows["role"] != "control"].groupby(["pairs", "metric"])["mean"]:
        _, show, sign = style(metric)
        if sign:
            best[pairs, metric] = show(means.max() if sign > 0 else means.min())
    return best


def _number(row: Any, best: str | None, chance: float | None) -> Number:
    """A row's mean and spread as printed."""
    show = style(row.metric).show
    text = show(row.mean)
    mark = "†" * (not row.converged) + "°" * (chance is not None and row.low <= chance)
    # One seed has no spread, and a count that is the same in every run (parameters) needs none.
    spread = row.n_seeds > 1 and not (row.metric == "parameters" and row.std == 0)
    return Number(text + mark, show(row.std) if spread else "", best=row.role != "control" and text == best)


def text_line(label: str, texts: Iterable[str], converged: bool = True) -> Line:
    """A line with one plain text per cell; an empty text makes an empty cell."""
    return Line(label, [[Number(text)] if text else [] for text in texts], converged=converged)


def difference_tables(
    changes: pd.DataFrame, pair: Pair, budget: str, what: str, slug: str, corner: str = "method"
) -> list[Table]:
    """Each method against the best baseline, in points of `what`, if there is one; budget: the column both share."""
    lines = [
        text_line(
            row["method"],
            [
                row[budget], row["baseline"], points(row["difference"]) + "†" * (not row["converged"]),
                f"{points(row['low'])} to {points(row['high'])}", thousandths(row["p"]),
            ],
        )
        for row in of(changes, pair).to_dict("records")
    ]  # fmt: skip
    title = f"Against the best baseline, points of {what}: {where(pair)}"
    header = [budget, "best baseline", "difference", "95 % interval", "p"]
    legend = [PAIRED, *legend_of(lines)]
    return [Table(title, "-".join([slug, *pair]), corner, header, lines, legend)] if lines else []


def reference_tables(rivals: pd.DataFrame, budget: str, what: str, *slug: str) -> list[Table]:
    """Every method against one, in points of `what`: a line per method, a column per budget (of pairs or labels)."""
    return [_reference_table(of(rivals, pair), pair, budget, what, slug) for pair in encoder_pairs(rivals)]


def _reference_table(here: pd.DataFrame, pair: Pair, budget: str, what: str, slug: Sequence[str]) -> Table:
    """The table of one pair of encoders."""
    columns, reference = budgets(here[budget]), here["reference"].iloc[0]
    marks = np.where(here["p_holm"] < LEVEL, "*", "") + np.where(here["converged"], "", "†")
    texts = here["difference"].map(points) + marks
    at = here.assign(text=texts).pivot_table("text", "method", budget, aggfunc="last", fill_value="")
    power, settled = here.groupby(budget)["detectable"].median(), here.groupby("method")["converged"].all()
    lines = [text_line(method, at.loc[method, columns], settled[method]) for method in here["method"].unique()]
    return Table(
        title=f"Against {reference}, points of {what}: {where(pair)}",
        slug="-".join(["against", reference, *pair, *slug]),
        corner="method",
        header=columns,
        lines=[*lines, text_line("smallest detectable difference", power[columns].map(per_cent))],
        legend=[
            "Star: p below 0.05, two-sided, by a bootstrap paired and clustered by image, Holm's correction within "
            "a budget. It covers the choice of test images, not of pairs or seeds. Two rows are compared at the seeds "
            "that both have.",
            "Smallest detectable difference: at 80 % power and the 5 % level, median over the column's rows.",
            *legend_of(lines, dash=False),
        ],
    )


def where(pair: Pair, size: tuple[int, int] | None = None) -> str:
    """Data set, test size and encoders in words."""
    dataset, vision, text = pair
    test = f" ({size[0]:,} test images, {size[1]:,} captions)" if size else ""
    return f"{dataset}{test}, {vision} and {text}"


def legend_of(lines: Sequence[Line], dash: bool = True, place: str = "number") -> list[str]:
    """The small print that these lines need.

    dash: whether an empty cell is explained as a run left out by design.  place: what a dagger marks.
    """
    numbers = [number for line in lines for cell in line.cells for number in cell]
    small = {
        "± standard deviation over seeds.": any(number.spread for number in numbers),
        "Bold: best of the column, controls aside.": any(number.best for number in numbers),
        f"† a run behind this {place} did not converge; its record says why.": any(
            not line.converged or any("†" in number.text for cell in line.cells for number in cell) for line in lines
        ),
        "° not above chance: the 95 % interval begins at chance or below.": any("°" in n.text for n in numbers),
        "– not run at this budget, by design: a method that learns from pairs has no run at 0, and a control that"
        " doesn't depend on the budget runs once.": dash and any(not cell for line in lines for cell in line.cells),
    }
    return [text for text, needed in small.items() if needed]
