"""From many runs to the rows of a table, with spread over seeds and bootstrap intervals.

A row is a dict with `COLUMNS`, one per (dataset, vision, text, method, pairs, metric). `mean` and `std` (n - 1 in the
denominator) are over seeds; one seed has no spread that one could know: its `std` is 0 and `n_seeds` says why. `low`
and `high` are the 95 % bootstrap interval of the mean (retrieval), or the least and the largest over seeds (costs).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ngw.errors import InputError
from ngw.metrics.retrieval import FOLDED
from ngw.report.records import IDENTITY, Cell, Record, Table, cell, identity, name, queries
from ngw.report.statistics import METRICS, bootstrap, interval, paired_difference, resample
from ngw.seeds import rng

COLUMNS = (*IDENTITY, "metric", "mean", "std", "low", "high", "n_seeds", "role", "converged")
DIFFERENCE_COLUMNS = (*IDENTITY, "baseline", "metric", "difference", "low", "high", "p", "n_seeds")
DRAWS = 1000

Row = dict[str, Any]
Samples = dict[Cell, np.ndarray]  # [draws, len(METRICS)] of each run


def bootstrap_all(records: Sequence[Record], tables: Mapping[Cell, Table], draws: int = DRAWS) -> Samples:
    """Bootstrap samples of every run; all runs of a data set share the same draws.

    tables: the prediction table of each run's cell.
    """
    samples, images, counts = {}, {}, {}
    for record in records:
        who, dataset = cell(record), record["dataset"]
        if who not in tables:
            raise InputError(f"table: {name(who)} has a record but no ranks; run its job again.")
        if dataset not in images:
            images[dataset] = np.unique(np.asarray(tables[who]["image_id"]))
            counts[dataset] = resample(len(images[dataset]), draws, rng(0, "bootstrap", dataset))
        samples[who] = bootstrap(*queries(record, tables[who], images[dataset]), counts[dataset])
    return samples


def collate(records: Sequence[Record], samples: Samples) -> list[Row]:
    """Rows of the retrieval table, in the order of the records."""
    rows = []
    for runs in by_seeds(records):
        low, high = interval([samples[cell(record)] for record in runs])
        for k, metric in enumerate(METRICS):
            rows.append(seeds_row(runs, metric, [record["metrics"][metric] for record in runs], low[k], high[k]))
        for metric in FOLDED:  # of large test sets; the interval is the seeds' own
            values = [record["metrics"][metric] for record in runs if metric in record["metrics"]]
            rows += [seeds_row(runs, metric, values, min(values), max(values))] if len(values) == len(runs) else []
    return rows


def differences(records: Sequence[Record], samples: Samples, metric: str = "mean_recall_1") -> list[Row]:
    """Each method against the best baseline of its budget, paired by image: rows with `DIFFERENCE_COLUMNS`.

    The best baseline is the one with the highest mean of `metric`, which is the hardest one to beat.
    """
    column, groups, rows = METRICS.index(metric), by_seeds(records), []
    for runs in groups:
        rivals = [other for other in groups if other[0]["role"] == "baseline" and place(other) == place(runs)]
        if runs[0]["role"] != "method" or not rivals:
            continue
        best = max(rivals, key=lambda other: mean_of(other, metric))
        ours, theirs = ([samples[cell(record)][:, column] for record in side] for side in (runs, best))
        found = paired_difference(ours, theirs, mean_of(runs, metric) - mean_of(best, metric))
        numbers = {"difference": found.mean, "low": found.low, "high": found.high, "p": found.p}
        who = identity(runs[0]) | {"baseline": best[0]["method"], "metric": metric}
        rows.append(who | {key: rounded(value) for key, value in numbers.items()} | {"n_seeds": len(runs)})
    return rows


def by_seeds(records: Sequence[Record]) -> list[list[Record]]:
    """The seeds of each (dataset, vision, text, method, pairs), in order of first appearance."""
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        groups.setdefault(cell(record)[:-1], []).append(record)
    return list(groups.values())


def place(runs: Sequence[Record]) -> tuple:
    """What two methods must have in common to be compared."""
    return tuple(runs[0][key] for key in IDENTITY if key != "method")


def mean_of(runs: Sequence[Record], metric: str) -> float:
    """Mean of a metric over seeds."""
    return float(np.mean([record["metrics"][metric] for record in runs]))


def seeds_row(runs: Sequence[Record], metric: str, values: Sequence[float], low: float, high: float) -> Row:
    """One row; its numbers are rounded here, so that every rendering shows the same ones."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    numbers = {"mean": float(np.mean(values)), "std": std, "low": low, "high": high}
    status = {"role": runs[0]["role"], "converged": all(record["converged"] for record in runs)}
    who = identity(runs[0]) | {"metric": metric}
    return who | {key: rounded(value) for key, value in numbers.items()} | {"n_seeds": len(runs)} | status


def rounded(value: float) -> float:
    """Six significant digits (a count keeps its units): what a test set can tell, free of one machine's last bits."""
    return float(f"{value:.6g}" if abs(value) < 1e5 else round(value))


def to_csv(rows: Iterable[Row], columns: Sequence[str] = COLUMNS) -> str:
    """Rows as csv text: rates as fractions, booleans as true and false."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([str(row[key]).lower() if isinstance(row[key], bool) else row[key] for key in columns])
    return text.getvalue()


def from_csv(text: str) -> list[Row]:
    """Rows back from `to_csv` with `COLUMNS`."""
    rows = []
    for line in csv.DictReader(io.StringIO(text)):
        numbers = {key: float(line[key]) for key in ("mean", "std", "low", "high")}
        rows.append(line | numbers | {"n_seeds": int(line["n_seeds"]), "converged": line["converged"] == "true"})
    return rows
