"""The layout of the tables, from rows to cells: what stands where, what is best, what is a control, what is marked.

`ngw.report.render` turns a `Table` into Markdown, TeX or plain text, so the three show the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ngw.metrics.retrieval import FOLD, FOLDS
from ngw.report.collate import Row

R = TypeVar("R", bound=Mapping[str, Any])

Pair = tuple[str, str, str]  # dataset, vision, text


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


def per_cent(value: float) -> str:
    return f"{100 * value:.1f}"


def tenths(value: float) -> str:
    return f"{value:,.1f}"


def hundredths(value: float) -> str:
    return f"{value:.2f}"


def whole(value: float) -> str:
    return f"{value:,.0f}"


# metric suffix: (heading, format, sign of better: 1 where higher is, -1 where lower is, 0 where best isn't marked)
_STYLE: dict[str, tuple[str, Callable[[float], str], int]] = {
    "recall_1": ("R@1", per_cent, 1),
    "recall_1_1k": ("R@1, 1k", per_cent, 1),
    "recall_5": ("R@5", per_cent, 1),
    "recall_10": ("R@10", per_cent, 1),
    "mrr": ("MRR", per_cent, 1),
    "median_rank": ("median rank", tenths, -1),
    "foscttm": ("FOSCTTM", per_cent, -1),
    "mean_recall_1": ("R@1, mean of both", per_cent, 1),
    "train_seconds": ("training (s)", tenths, 0),
    "cpu_seconds": ("CPU (s)", tenths, 0),
    "gpu_seconds": ("GPU (s)", tenths, 0),
    "gpu_memory_mb": ("GPU memory (MB)", whole, 0),
    "energy_wh": ("energy (Wh)", hundredths, 0),
    "co2_g": ("CO2 (g)", hundredths, 0),
    "peak_memory_mb": ("peak memory (MB)", whole, 0),
    "parameters": ("parameters", whole, 0),
    "bleu_4": ("BLEU-4", per_cent, 1),
    "meteor": ("METEOR", per_cent, 1),
    "rouge_l": ("ROUGE-L", per_cent, 1),
    "cider": ("CIDEr", per_cent, 1),
    "nearest_meteor": ("nearest METEOR", per_cent, 1),
    "nearest_cider": ("nearest CIDEr", per_cent, 1),
    "fd": ("distance", tenths, -1),
    "kd": ("kernel distance", per_cent, -1),
    "score": ("score", tenths, 1),
    "cosine": ("cosine", per_cent, 1),
    "nearest_score": ("nearest score", tenths, 1),
    "nearest_cosine": ("nearest cosine", per_cent, 1),
    "accuracy": ("accuracy", per_cent, 1),
    "accuracy_yes_no": ("yes/no", per_cent, 1),
    "accuracy_number": ("number", per_cent, 1),
    "accuracy_other": ("other", per_cent, 1),
    "always_accuracy": ("always", per_cent, 1),
    "alpha_a": ("alpha_A", hundredths, 0),
    "alpha_b": ("alpha_B", hundredths, 0),
}
SHOWN = ("recall_1", "recall_5", "recall_10", "mrr", "median_rank", "foscttm")
_DIRECTIONS = {"i2t": "image to text", "t2i": "text to image"}
_FOSCTTM = (
    "FOSCTTM: candidates closer than the true match, of an image's captions the closest; text to image, chance is 50."
)
_SPREAD = "± standard deviation over seeds."
_BEST = "Bold: best of the column, controls aside."
_DAGGER = "† a run behind this number did not converge; its record says why."
_CHANCE = "° at chance: the number's 95 % interval holds what guessing would reach."
_DASH = (
    "– not run at this budget, by design: a method that learns from pairs has no run at 0, and a control that doesn't"
    " depend on the budget runs once."
)


def headings(metrics: Iterable[str]) -> list[str]:
    """The columns' names of some metrics."""
    return [_STYLE[metric][0] for metric in metrics]


def encoder_pairs(rows: Iterable[Mapping[str, Any]]) -> list[Pair]:
    """The (dataset, vision, text) of the rows, in order of first appearance."""
    return list(dict.fromkeys((row["dataset"], row["vision"], row["text"]) for row in rows))


def budgets(rows: Iterable[Row]) -> list[str]:
    """Pair budgets from small to large, `all` last."""
    return sorted({row["pairs"] for row in rows}, key=lambda pairs: float("inf") if pairs == "all" else float(pairs))


def of(rows: Iterable[R], pair: Pair) -> list[R]:
    """The rows of one (dataset, vision, text)."""
    return [row for row in rows if (row["dataset"], row["vision"], row["text"]) == pair]


def main_table(rows: Sequence[Row], pair: Pair, size: tuple[int, int], folds: bool = False) -> Table:
    """R@1 both ways: a line a method, a column a budget. size: test images and captions, part of what R@1 means.

    folds: the mean over folds of 1,000 images instead, of test sets that are large enough; else without a line.
    """
    metrics = [f"{way}_recall_1{'_1k' * folds}" for way in _DIRECTIONS]
    rows = [row for row in of(rows, pair) if row["metric"] in metrics]
    columns, kind = budgets(rows), f"1k, the mean of {FOLDS} folds of {FOLD:,} images, " * folds
    # At R@1 chance is the same both ways: 5 of 5,000 captions or 1 of 1,000 images.
    chance = 1 / (FOLD if folds else size[0])
    lines = lines_of(rows, [[(pairs, metric) for metric in metrics] for pairs in columns], chance)
    return Table(
        title=f"R@1 in per cent, {kind}image to text / text to image, by number of pairs: {where(pair, size)}",
        slug="-".join(["retrieval", *pair, *["1k"] * folds]),
        corner="pairs",
        header=columns,
        lines=lines,
        legend=legend_of(lines),
    )


def budget_table(rows: Sequence[Row], pair: Pair, size: tuple[int, int], pairs: str) -> Table:
    """All retrieval metrics at one budget; controls that don't depend on the budget stand in each."""
    chosen = at_budget(of(rows, pair), pairs)
    columns = [(way, suffix) for way in _DIRECTIONS for suffix in SHOWN]
    lines = lines_of(chosen, [[(pairs, f"{way}_{suffix}")] for way, suffix in columns])
    return Table(
        title=f"Retrieval with {count(pairs)} (all but the rank in per cent): {where(pair, size)}",
        slug="-".join(["retrieval", *pair, pairs]),
        corner="method",
        header=[f"{way} {_STYLE[suffix][0]}" for way, suffix in columns],
        lines=lines,
        legend=[*(f"{way}: {words}." for way, words in _DIRECTIONS.items()), _FOSCTTM, *legend_of(lines)],
    )


def taught(rows: Sequence[Row]) -> list[str]:
    """The budgets of methods, controls aside; 0 only where there is no other."""
    found = budgets(row for row in rows if row["role"] != "control")
    return [pairs for pairs in found if pairs != "0"] or found


def at_budget(rows: Sequence[Row], pairs: str, unpaired: bool = False) -> list[Row]:
    """The rows of one budget, and those of controls that ran at another one only, with that beside their names.

    unpaired: those of methods that need no pair, too.
    """
    once = {method for method, found in budgets_of(rows).items() if len(found) == 1}
    return [
        row | {"pairs": pairs, "method": row["method"] if row["pairs"] == pairs else _aside(row)}
        for row in rows
        if row["pairs"] == pairs
        or (row["method"] in once and (row["role"] == "control" or (unpaired and row["pairs"] == "0")))
    ]


def difference_table(rows: Sequence[Row], pair: Pair) -> Table:
    """Each method against the best baseline of the same budget, in points of mean R@1."""
    lines = []
    for row in of(rows, pair):
        low, high = (f"{100 * row[key]:+.1f}" for key in ("low", "high"))
        numbers = [
            row["pairs"],
            row["baseline"],
            f"{100 * row['difference']:+.1f}",
            f"{low} to {high}",
            f"{row['p']:.3f}",
        ]
        lines.append(Line(row["method"], [[Number(text)] for text in numbers]))
    return Table(
        title=f"Against the best baseline, points of mean R@1 of both directions: {where(pair)}",
        slug="-".join(["differences", *pair]),
        corner="method",
        header=["pairs", "best baseline", "difference", "95 % interval", "p"],
        lines=lines,
        legend=["Bootstrap paired and clustered by image; p is two-sided, not corrected for the number of lines."],
    )


def lines_of(
    rows: Sequence[Row], columns: Sequence[Sequence[tuple[str, str]]], chance: float | None = None
) -> list[Line]:
    """A line a method, methods first and controls last; `columns` holds the (pairs, metric) of each cell's numbers.

    chance: the value of every number that guessing would reach, where it is known.
    """
    at = {(row["method"], row["pairs"], row["metric"]): row for row in rows}
    best = {key: _best(rows, *key) for column in columns for key in column}
    lines = []
    for method, control in dict.fromkeys((row["method"], row["role"] == "control") for row in rows):
        shown = [[(key, at[(method, *key)]) for key in column if (method, *key) in at] for column in columns]
        cells = [[_number(row, None if control else best[key], chance) for key, row in cell] for cell in shown]
        converged = all(row["converged"] for cell in shown for _, row in cell)
        lines.append(Line(method, cells, control, converged))
    return sorted(lines, key=lambda line: line.control)


def _number(row: Row, best: str | None, chance: float | None) -> Number:
    """A row's mean and spread as they are printed."""
    show = _STYLE[_suffix(row["metric"])][1]
    text = show(row["mean"])
    mark = "" if row["converged"] else "†"
    if chance is not None and row["low"] <= chance:
        mark += "°"
    # One seed has no spread, and a count that is the same in every run (parameters) needs none.
    spread = row["n_seeds"] > 1 and not (row["metric"] == "parameters" and row["std"] == 0)
    return Number(text + mark, show(row["std"]) if spread else "", best=text == best)


def _best(rows: Sequence[Row], pairs: str, metric: str) -> str | None:
    """The best mean of a column as it is printed, so that numbers that print alike are marked alike."""
    _, show, sign = _STYLE[_suffix(metric)]
    means = [
        row["mean"] for row in rows if row["role"] != "control" and (row["pairs"], row["metric"]) == (pairs, metric)
    ]
    return show(max(means, key=lambda mean: sign * mean)) if means and sign else None


def _suffix(metric: str) -> str:
    """A metric's name without its direction."""
    way, _, rest = metric.partition("_")
    return rest if way in _DIRECTIONS else metric


def budgets_of(rows: Sequence[Row]) -> Mapping[str, list[str]]:
    """The budgets at which each method was run."""
    return {method: budgets(row for row in rows if row["method"] == method) for method in {r["method"] for r in rows}}


def _aside(row: Row) -> str:
    """The name of a control that stands in a budget that isn't its own."""
    return f"{row['method']} ({count(row['pairs'])})"


def count(pairs: str) -> str:
    """A budget in words."""
    return f"{pairs} pair" if pairs == "1" else f"{pairs} pairs"


def where(pair: Pair, size: tuple[int, int] | None = None) -> str:
    """Data set, test size and encoders in words."""
    dataset, vision, text = pair
    test = f" ({size[0]:,} test images, {size[1]:,} captions)" if size else ""
    return f"{dataset}{test}, {vision} and {text}"


def legend_of(lines: Sequence[Line]) -> list[str]:
    """The small print that these lines need, and no more."""
    numbers = [number for line in lines for cell in line.cells for number in cell]
    needed = {
        _SPREAD: any(number.spread for number in numbers),
        _BEST: any(number.best for number in numbers),
        _DAGGER: not all(line.converged for line in lines),
        _CHANCE: any("°" in number.text for number in numbers),
        _DASH: any(not cell for line in lines for cell in line.cells),
    }
    return [text for text, need in needed.items() if need]
