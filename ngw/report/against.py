"""Every row of a table against NGW: paired bootstrap, corrected for the number of rows, and the power."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ngw.report.collate import Row, Samples, by_seeds, mean_of, place, rounded
from ngw.report.records import IDENTITY, Record, cell, identity
from ngw.report.statistics import METRICS, paired_difference
from ngw.report.tables import Line, Number, Pair, Table, budgets, of, where

REFERENCE, METRIC, LEVEL = "ngw", "mean_recall_1", 0.05
COLUMNS = (*IDENTITY, "reference", "metric", "difference", "low", "high", "p", "p_holm", "detectable", "n_seeds")
POWER = 1.96 + 0.84  # standard errors: two-sided 5 %, 80 % power (Cohen 1988)


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction (1979): the k-th smallest of m, times m - k + 1, never below the one before it."""
    order, m = np.argsort(p, kind="stable"), len(p)
    corrected = np.maximum.accumulate(np.asarray(p, float)[order] * (m - np.arange(m)))
    found = np.empty(m)
    found[order] = np.minimum(corrected, 1)
    return found


def rows(records: Sequence[Record], samples: Samples) -> list[Row]:
    """Each method and baseline of the retrieval table minus `REFERENCE` at its budget, rows with `COLUMNS`."""
    column = METRICS.index(METRIC)
    return compared(records, lambda record: samples[cell(record)][:, column], METRIC, REFERENCE, place)


def compared(
    records: Sequence[Record], sample: Callable[[Record], np.ndarray], metric: str, reference: str,
    place: Callable[[Sequence[Record]], tuple],
) -> list[Row]:  # fmt: skip
    """Each row but controls minus a reference; none where that one isn't in the table.

    sample: a metric's bootstrap sample of a run, [draws].  place: what a group of seeds must share with the
    reference's.  p_holm: corrected within a place.  detectable: the smallest difference that would be found in 80 % of
    such test sets, from the bootstrap's standard error.
    """
    found = []
    families: dict[tuple, list[dict[str, Any]]] = {}
    groups = [runs for runs in by_seeds(records) if runs[0]["role"] != "control"]
    own = {place(runs): runs for runs in groups if runs[0]["method"] == reference}
    for runs in groups:
        ours = own.get(place(runs))
        if ours is None or runs is ours:
            continue
        theirs, mine = ([sample(record) for record in side] for side in (runs, ours))
        seen = paired_difference(theirs, mine, mean_of(runs, metric) - mean_of(ours, metric))
        error = float(np.std(np.mean(theirs, axis=0) - np.mean(mine, axis=0), ddof=1))
        numbers = {
            "difference": seen.mean, "low": seen.low, "high": seen.high, "p": seen.p, "detectable": POWER * error,
        }  # fmt: skip
        who: dict[str, Any] = identity(runs[0]) | {"reference": reference, "metric": metric, "n_seeds": len(runs)}
        row = who | {key: rounded(value) for key, value in numbers.items()}
        families.setdefault(place(runs), []).append(row)
        found.append(row)
    for family in families.values():
        for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p_holm"] = rounded(float(p))
    return found


def table(
    found: Sequence[Row], pair: Pair, key: str = "pairs", what: str = "mean R@1 of both directions, by number of pairs"
) -> Table:
    """The differences in points: a line a method, a column a budget (key: of pairs, or of labels)."""
    here = [row | {"pairs": row[key]} for row in of(found, pair)]
    columns, reference = budgets(here), here[0]["reference"]
    at = {(row["method"], row["pairs"]): row for row in here}

    def number(row: Row) -> Number:
        return Number(f"{100 * row['difference']:+.1f}{'*' if row['p_holm'] < LEVEL else ''}")

    lines = [
        Line(method, [[number(at[method, pairs])] if (method, pairs) in at else [] for pairs in columns])
        for method in dict.fromkeys(row["method"] for row in here)
    ]
    power = [np.median([row["detectable"] for row in here if row["pairs"] == pairs]) for pairs in columns]
    lines.append(Line("smallest difference to be found", [[Number(f"{100 * value:.1f}")] for value in power]))
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
