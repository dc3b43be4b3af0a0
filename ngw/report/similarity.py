"""The table of the spaces' similarity before alignment, calibrated, beside what alignment then reaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ngw.errors import InputError
from ngw.report.collate import Row, rounded, to_csv
from ngw.report.records import Record
from ngw.report.render import markdown, tex
from ngw.report.tables import Line, Number, Pair, Table, of

FIELDS = ("value", "null_mean", "null_std", "excess", "z", "p", "critical", "calibrated", "permutations")
COLUMNS = ("dataset", "vision", "text", "n", "metric", *FIELDS)
_HEADINGS = {"cka": "CKA", "cka_debiased": "debiased CKA"}
LEVEL = 0.05


def build(records: Sequence[Record], retrieval: Sequence[Row] = (), pairs: str = "all") -> dict[str, str]:
    """The files of `results/tables` by name, as text.

    records: results/similarity/{dataset}/{vision}__{text}.json; retrieval: the retrieval table's rows, if there are
    any, and the budget at which its best method is shown beside the similarity.
    """
    table = _table(records, retrieval, pairs)
    return {
        "similarity.csv": to_csv(rows(records), COLUMNS),
        "similarity.md": "\n".join(["# Similarity before alignment\n", markdown(table)]),
        "similarity.tex": tex(table),
    }


def rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One row a record and measure; z is empty where the null doesn't vary."""
    found = []
    for record in records:
        who = {key: record[key] for key in ("dataset", "vision", "text", "n")}
        for metric, numbers in record["metrics"].items():
            plain = {key: "" if numbers[key] is None else rounded(numbers[key]) for key in FIELDS}
            found.append(who | {"metric": metric} | plain)
    return found


def _table(records: Sequence[Record], retrieval: Sequence[Row], pairs: str) -> Table:
    """A line a pair of spaces; for each measure its value / null and its calibrated value."""
    metrics = list(records[0]["metrics"])
    lines = []
    for record in records:
        if list(record["metrics"]) != metrics:
            raise InputError("similarity: expected the same measures in every record; run the older job again.")
        cells = [cell for metric in metrics for cell in _cells(record["metrics"][metric])]
        if retrieval:
            cells.append(_reached(retrieval, (record["dataset"], record["vision"], record["text"]), pairs))
        lines.append(Line(f"{record['dataset']}: {record['vision']}, {record['text']} (n = {record['n']:,})", cells))
    header = [text for metric in metrics for text in (_heading(metric), "calibrated", "z")]
    return Table(
        title="Similarity of the two spaces before alignment, on paired test items",
        slug="similarity",
        corner="spaces",
        header=header + [f"R@1, {pairs} pairs (%)"] * bool(retrieval),
        lines=lines,
        legend=[
            "Each measure: its value / its mean over permuted pairs; z: their difference in standard deviations.",
            "calibrated: (value - c) / (1 - c), c the 5 % critical value of the permutations, 0 below it"
            " (Groeger et al. 2026). ° not above permuted pairs, p > 0.05.",
            *["R@1: mean of both directions, of the best method that isn't a control."] * bool(retrieval),
            *(_repeated(record) for record in records if any(record["repeated_rows"].values())),
        ],
    )


def _repeated(record: Record) -> str:
    """A warning: what was trained on is tested."""
    counts = " and ".join(f"{count:,} rows of {record[side]}" for side, count in record["repeated_rows"].items())
    return f"{record['dataset']}: {counts} equal a training row, which makes every row of the tables easier than it is."


def _cells(numbers: dict[str, Any]) -> list[list[Number]]:
    """One measure: value / null, calibrated, z."""
    mark = "°" if numbers["p"] > LEVEL else ""
    z = [] if numbers["z"] is None else [Number(f"{numbers['z']:,.1f}")]
    value, null = Number(f"{numbers['value']:.3f}{mark}"), Number(f"{numbers['null_mean']:.3f}")
    return [[value, null], [Number(f"{numbers['calibrated']:.3f}")], z]


def _reached(retrieval: Sequence[Row], pair: Pair, pairs: str) -> list[Number]:
    """The best method's mean R@1 at a budget."""
    means = [
        row["mean"]
        for row in of(retrieval, pair)
        if (row["pairs"], row["metric"]) == (pairs, "mean_recall_1") and row["role"] != "control"
    ]
    return [Number(f"{100 * max(means):.1f}")] if means else []


def _heading(metric: str) -> str:
    """A measure in words."""
    return _HEADINGS.get(metric, metric.replace("_", " ").replace("neighbours", "neighbours, k ="))
