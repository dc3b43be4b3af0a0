"""The layout of the tables, from rows to cells: what stands where, what is best, what is a control, what is marked.

`ngw.report.render` turns a `Table` into Markdown, TeX or plain text, so the three show the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ngw.report.frames import Pair, budgets, of

DIRECTIONS = {"i2t": "image to text", "t2i": "text to image"}
MAPS = {"ab": "T_AB", "ba": "T_BA"}
NULL = "_null"  # ends the name of a metric's shuffled null
LEVEL = 0.05
PAIRED = "Bootstrap paired and clustered by image; p is two-sided, not corrected for the number of lines."


@dataclass(frozen=True)
class Number:
    """One number as it is printed: `text`, its spread over seeds (empty for one seed), best of its column or not."""

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
    """How a metric is shown; sign of better: 1 where higher is, -1 where lower is, 0 where best isn't marked."""

    heading: str
    show: Callable[[float], str]
    sign: int


def per_cent(value: float) -> str:
    return f"{100 * value:.1f}"


def tenths(value: float) -> str:
    return f"{value:,.1f}"


def hundredths(value: float) -> str:
    return f"{value:.2f}"


def thousandths(value: float) -> str:
    return f"{value:.3f}"


def whole(value: float) -> str:
    return f"{value:,.0f}"


def points(difference: float) -> str:
    """A difference of two rates, in points of per cent."""
    return f"{100 * difference:+.1f}"


_STYLES: dict[str, Style] = {
    "recall_1": Style("R@1", per_cent, 1),
    "recall_1_1k": Style("R@1, 1k", per_cent, 1),
    "recall_5": Style("R@5", per_cent, 1),
    "recall_10": Style("R@10", per_cent, 1),
    "mrr": Style("MRR", per_cent, 1),
    "median_rank": Style("median rank", tenths, -1),
    "foscttm": Style("FOSCTTM", per_cent, -1),
    "mean_recall_1": Style("R@1, mean of both", per_cent, 1),
    "train_seconds": Style("training (s)", tenths, 0),
    "cpu_seconds": Style("CPU (s)", tenths, 0),
    "gpu_seconds": Style("GPU (s)", tenths, 0),
    "gpu_memory_mb": Style("GPU memory (MB)", whole, 0),
    "energy_wh": Style("energy (Wh)", hundredths, 0),
    "co2_g": Style("CO2 (g)", hundredths, 0),
    "peak_memory_mb": Style("peak memory (MB)", whole, 0),
    "parameters": Style("parameters", whole, 0),
    "bleu_4": Style("BLEU-4", per_cent, 1),
    "meteor": Style("METEOR", per_cent, 1),
    "rouge_l": Style("ROUGE-L", per_cent, 1),
    "cider": Style("CIDEr", per_cent, 1),
    "nearest_meteor": Style("nearest METEOR", per_cent, 1),
    "nearest_cider": Style("nearest CIDEr", per_cent, 1),
    "fd": Style("distance", tenths, -1),
    "kd": Style("kernel distance", per_cent, -1),
    "score": Style("score", tenths, 1),
    "cosine": Style("cosine", per_cent, 1),
    "nearest_score": Style("nearest score", tenths, 1),
    "nearest_cosine": Style("nearest cosine", per_cent, 1),
    "accuracy": Style("accuracy", per_cent, 1),
    "accuracy_yes_no": Style("yes/no", per_cent, 1),
    "accuracy_number": Style("number", per_cent, 1),
    "accuracy_other": Style("other", per_cent, 1),
    "always_accuracy": Style("always", per_cent, 1),
    "alpha_a": Style("alpha_A", hundredths, 0),
    "alpha_b": Style("alpha_B", hundredths, 0),
    "margin": Style("margin", thousandths, 1),
    "collision": Style("collisions", per_cent, -1),
    "precision": Style("precision", per_cent, 1),
    "recall": Style("recall", per_cent, 1),
    "coverage": Style("coverage", per_cent, 1),
    "spread": Style("spread", hundredths, 0),
    "lipschitz_99": Style("Lipschitz", hundredths, 0),
    "jacobian_max": Style("|J|", hundredths, 0),
    "jacobian_rank": Style("rank of J", whole, 0),
    "cycle": Style("cycle error", thousandths, -1),
}


def style(metric: str) -> Style:
    """A metric's style, whatever its direction; the best of nulls isn't marked."""
    name = metric.removesuffix(NULL)
    way, _, rest = name.partition("_")
    shown = _STYLES[rest if way in (*DIRECTIONS, *MAPS) else name]
    return shown._replace(sign=0) if metric.endswith(NULL) else shown


def headings(metrics: Iterable[str]) -> list[str]:
    """The columns' names of some metrics."""
    return [style(metric).heading for metric in metrics]


def lines_of(
    rows: pd.DataFrame, columns: Sequence[Sequence[tuple[str, str]]], chance: float | None = None
) -> list[Line]:
    """A line a method, methods first and controls last; `columns` holds the (pairs, metric) of each cell's numbers.

    chance: the value of every number that guessing would reach, where it is known.
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
    """The best mean of each column as it is printed, so that numbers that print alike are marked alike."""
    columns = rows[rows["role"] != "control"].groupby(["pairs", "metric"])["mean"]
    styles = {key: style(key[1]) for key in columns.groups}
    return {
        key: styles[key].show(means.max() if styles[key].sign > 0 else means.min())
        for key, means in columns
        if styles[key].sign
    }


def _number(row: Any, best: str | None, chance: float | None) -> Number:
    """A row's mean and spread as they are printed."""
    show = style(row.metric).show
    text = show(row.mean)
    mark = "" if row.converged else "†"
    if chance is not None and row.low <= chance:
        mark += "°"
    # One seed has no spread, and a count that is the same in every run (parameters) needs none.
    spread = row.n_seeds > 1 and not (row.metric == "parameters" and row.std == 0)
    return Number(text + mark, show(row.std) if spread else "", best=row.role != "control" and text == best)


def difference_table(rows: pd.DataFrame, budget: str, title: str, slug: str, corner: str) -> Table:
    """Each method against the best baseline, in points; budget: the column of what they share."""
    lines = []
    for row in rows.to_dict("records"):
        span = f"{points(row['low'])} to {points(row['high'])}"
        cells = [row[budget], row["baseline"], points(row["difference"]), span, f"{row['p']:.3f}"]
        lines.append(Line(row["method"], [[Number(text)] for text in cells]))
    header = [budget, "best baseline", "difference", "95 % interval", "p"]
    return Table(title, slug, corner, header, lines, [PAIRED])


def reference_table(rows: pd.DataFrame, pair: Pair, budget: str, what: str) -> Table:
    """Every method against one, in points of `what`: a line a method, a column a budget (of pairs, or of labels)."""
    here = of(rows, pair)
    columns, reference = budgets(here[budget]), here["reference"].iloc[0]
    texts = here["difference"].map(points) + np.where(here["p_holm"] < LEVEL, "*", "")
    at = here.assign(text=texts).pivot_table("text", "method", budget, aggfunc="last", fill_value="")
    lines = [
        Line(method, [[Number(at.at[method, count])] if at.at[method, count] else [] for count in columns])
        for method in here["method"].unique()
    ]
    power = here.groupby(budget)["detectable"].median()
    lines.append(Line("smallest difference to be found", [[Number(f"{100 * power[count]:.1f}")] for count in columns]))
    return Table(
        title=f"Against {reference}, points of {what}: {where(pair)}",
        slug="-".join(["against", reference, *pair]),
        corner="method",
        header=columns,
        lines=lines,
        legend=[
            "Star: p below 0.05, by a bootstrap paired and clustered by image, two-sided, Holm's correction within a "
            "budget; it tells this test set's chance, not that of other pairs or seeds.",
            "Smallest difference to be found: with 80 % power at 5 %, the median over the column's rows.",
        ],
    )


def where(pair: Pair, size: tuple[int, int] | None = None) -> str:
    """Data set, test size and encoders in words."""
    dataset, vision, text = pair
    test = f" ({size[0]:,} test images, {size[1]:,} captions)" if size else ""
    return f"{dataset}{test}, {vision} and {text}"


def legend_of(lines: Sequence[Line], dash: bool = True, place: str = "number") -> list[str]:
    """The small print that these lines need, and no more.

    dash: whether an empty cell is explained as a run that isn't there by design.  place: what a dagger marks.
    """
    numbers = [number for line in lines for cell in line.cells for number in cell]
    small = {
        "± standard deviation over seeds.": any(number.spread for number in numbers),
        "Bold: best of the column, controls aside.": any(number.best for number in numbers),
        f"† a run behind this {place} did not converge; its record says why.": not all(
            line.converged for line in lines
        ),
        "° at chance: the number's 95 % interval holds what guessing would reach.": any(
            "°" in number.text for number in numbers
        ),
        "– not run at this budget, by design: a method that learns from pairs has no run at 0, and a control that"
        " doesn't depend on the budget runs once.": dash and any(not cell for line in lines for cell in line.cells),
    }
    return [text for text, needed in small.items() if needed]
