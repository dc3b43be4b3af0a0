"""The table of the spaces' similarity before alignment, calibrated, beside what alignment then reaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ngw.errors import InputError
from ngw.report.frames import Pair, of, rounded, to_csv
from ngw.report.layout import LEVEL, Line, Number, Table
from ngw.report.records import Record, pair
from ngw.report.render import files

FIELDS = ("value", "null_mean", "null_std", "excess", "z", "p", "critical", "calibrated", "permutations")
_HEADINGS = {"cka": "CKA", "cka_debiased": "debiased CKA"}


def build(records: Sequence[Record], retrieval: pd.DataFrame | None = None, pairs: str = "all") -> dict[str, str]:
    """The files of `results/tables` by name, as text.

    records: results/similarity/{dataset}/{vision}__{text}.json; retrieval: the retrieval table's rows, if there are
    any, and the budget at which its best method is shown beside the similarity.
    """
    shown = table(records, retrieval, pairs)
    return {
        "similarity.csv": to_csv(rows(records)),
        **files("similarity", "Similarity before alignment", [shown]),
    }


def rows(records: Sequence[Record]) -> pd.DataFrame:
    """One row a record and measure; z is missing where the null doesn't vary."""
    keys = ("dataset", "vision", "text", "n")
    long = pd.DataFrame(
        {key: record[key] for key in keys} | {"metric": metric} | {key: numbers[key] for key in FIELDS}
        for record in records
        for metric, numbers in record["metrics"].items()
    )
    return rounded(long.astype(dict.fromkeys(FIELDS, float)), FIELDS)


def table(records: Sequence[Record], retrieval: pd.DataFrame | None, pairs: str) -> Table:
    """A line a pair of spaces; for each measure its value / null and its calibrated value."""
    metrics = list(records[0]["metrics"])
    lines = []
    for record in records:
        if list(record["metrics"]) != metrics:
            raise InputError("similarity: expected the same measures in every record; run the older job again.")
        cells = [cell for metric in metrics for cell in _cells(record["metrics"][metric])]
        if retrieval is not None:
            cells.append(_reached(retrieval, pair(record), pairs))
        lines.append(Line(f"{record['dataset']}: {record['vision']}, {record['text']} (n = {record['n']:,})", cells))
    header = [text for metric in metrics for text in (_heading(metric), "calibrated", "z")]
    return Table(
        title="Similarity of the two spaces before alignment, on paired test items",
        slug="similarity",
        corner="spaces",
        header=header + [f"R@1, {pairs} pairs (%)"] * (retrieval is not None),
        lines=lines,
        legend=[
            "Each measure: its value / its mean over permuted pairs; z: their difference in standard deviations.",
            "calibrated: (value - c) / (1 - c), c the 5 % critical value of the permutations, 0 below it"
            " (Groeger et al. 2026). ° not above permuted pairs, p > 0.05.",
            *["R@1: mean of both directions, of the best method that isn't a control."] * (retrieval is not None),
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


def _reached(retrieval: pd.DataFrame, who: Pair, pairs: str) -> list[Number]:
    """The best method's mean R@1 at a budget."""
    methods = of(retrieval, who).query("pairs == @pairs and metric == 'mean_recall_1' and role != 'control'")
    return [] if methods.empty else [Number(f"{100 * methods['mean'].max():.1f}")]


def _heading(metric: str) -> str:
    """A measure in words."""
    return _HEADINGS.get(metric, metric.replace("_", " ").replace("neighbours", "neighbours, k ="))
