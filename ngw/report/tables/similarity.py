"""The table of the spaces' calibrated similarity before alignment, beside the R@1 that alignment reaches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import pandas as pd

from ngw.errors import InputError
from ngw.features.clouds import NONE
from ngw.report.frames import Pair, at, in_setting, of, rounded, to_csv
from ngw.report.layout import LEVEL, Line, Number, Table, per_cent, tenths, thousandths
from ngw.report.records import Record, pair
from ngw.report.render import files

FIELDS = ("value", "null_mean", "null_std", "excess", "z", "p", "critical", "calibrated", "permutations")
_HEADINGS = {"cka": "CKA", "cka_debiased": "debiased CKA"}
_LEGEND = (
    "Each measure: its value / its mean over permuted pairs; z: their difference in standard deviations.",
    "calibrated: (value - c) / (1 - c) with the permutations' 5 % critical value c, and 0 below c"
    " (Groeger et al. 2026). ° not above permuted pairs, p > 0.05.",
    "R@1: mean of both directions, for the best method, controls aside.",
)


def build(records: Sequence[Record], retrieval: pd.DataFrame, pairs: str) -> dict[str, str]:
    """The files of `results/tables` by name, as text.

    records: results/similarity/{dataset}/{vision}__{text}.json.  retrieval: the retrieval table's rows.  pairs: the
    budget at which its best method is shown beside the similarity.
    """
    document = files("similarity", "Similarity before alignment", [table(records, retrieval, pairs)])
    return {"similarity.csv": to_csv(rows(records)), **document}


def rows(records: Sequence[Record]) -> pd.DataFrame:
    """One row per record and measure; z is missing where the null doesn't vary."""
    keys = ("dataset", "vision", "text", "n")
    long = pd.DataFrame(
        {key: record[key] for key in keys} | {"metric": metric} | {key: numbers[key] for key in FIELDS}
        for record in records
        for metric, numbers in record["metrics"].items()
    )
    return rounded(long.astype(dict.fromkeys(FIELDS, float)), FIELDS)


def table(records: Sequence[Record], retrieval: pd.DataFrame, pairs: str) -> Table:
    """One line per pair of spaces; for each measure its value / null and its calibrated value."""
    metrics = list(records[0]["metrics"])
    if any(list(record["metrics"]) != metrics for record in records):
        raise InputError("similarity: expected the same measures in every record; run the older job again.")
    lines = [
        Line(
            f"{record['dataset']}: {record['vision']}, {record['text']} (n = {record['n']:,})",
            [*chain(*map(_cells, record["metrics"].values())), _reached(retrieval, pair(record), pairs)],
        )
        for record in records
    ]
    return Table(
        title="Similarity of the two spaces before alignment, on paired test items",
        slug="similarity",
        corner="spaces",
        header=[
            *chain(*([_heading(metric), "calibrated", "z"] for metric in metrics)),
            f"R@1, {at(retrieval, pairs)} (%)",
        ],
        lines=lines,
        legend=[*_LEGEND, *(_repeated(record) for record in records if any(record["repeated_rows"].values()))],
    )


def _repeated(record: Record) -> str:
    """A warning that test rows equal training rows."""
    counts = " and ".join(f"{count:,} rows of {record[side]}" for side, count in record["repeated_rows"].items())
    return f"{record['dataset']}: {counts} equal a training row, which makes the test easier for every method."


def _cells(numbers: dict[str, Any]) -> list[list[Number]]:
    """One measure: value / null, calibrated, z."""
    z = [] if numbers["z"] is None else [Number(tenths(numbers["z"]))]
    value, null, calibrated = (thousandths(numbers[key]) for key in ("value", "null_mean", "calibrated"))
    return [[Number(value + "°" * (numbers["p"] > LEVEL)), Number(null)], [Number(calibrated)], z]


def _reached(retrieval: pd.DataFrame, who: Pair, pairs: str) -> list[Number]:
    """The best method's mean R@1 at a budget, in the first setting."""
    methods = in_setting(of(retrieval, who), NONE).query(
        "pairs == @pairs and metric == 'mean_recall_1' and role != 'control'"
    )
    return [] if methods.empty else [Number(per_cent(methods["mean"].max()))]


def _heading(metric: str) -> str:
    """A measure in words."""
    return _HEADINGS.get(metric, metric.replace("_", " ").replace("neighbours", "neighbours, k ="))
