"""What goes into a table, checked: the records fill the expected cells once each, agree, and fit their ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ngw.errors import InputError
from ngw.metrics.retrieval import summary
from ngw.report.statistics import Queries

IDENTITY = ("dataset", "vision", "text", "method", "pairs")  # of a task's record; one that has labels adds them
ROLES = ("method", "baseline", "control")

Record = Mapping[str, Any]  # metrics/retrieval.json of one run
Table = Mapping[str, Sequence]  # predictions/retrieval.parquet of one run: columns direction, image_id, rank
Cell = tuple  # dataset, vision, text, method, pairs, labels where the task has them, seed

_FIELDS = {
    **dict.fromkeys([*IDENTITY, "role", "task", "version"], str),
    **dict.fromkeys(["seed", "task_version"], int),
    **dict.fromkeys(["metrics", "cost"], Mapping),
    "converged": bool,
}


def identity(row: Mapping[str, Any]) -> dict[str, str]:
    """What says whose a record or a row of a table is, but for the seed."""
    return {key: row[key] for key in (*IDENTITY, "labels") if key in row}


def cell(record: Record) -> Cell:
    """The cell of the table that a record fills."""
    return (*identity(record).values(), record["seed"])


def pair(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """The (dataset, vision, text) of a record, or of a row of a table."""
    return row["dataset"], row["vision"], row["text"]


def name(one: Cell) -> str:
    """A cell in words, for messages."""
    dataset, vision, text, *rest, seed = one
    told = ", ".join(f"{key} {value}" for key, value in zip(("method", "pairs", "labels"), rest, strict=False))
    return f"(dataset {dataset}, encoders {vision} and {text}, {told}, seed {seed})"


def check(
    records: Sequence[Record], expected: Iterable[Cell], sizes: Sequence[str] = ("n_images", "n_captions")
) -> None:
    """Raise `InputError` unless the records fill the expected cells once each and are of one kind.

    One kind: the same task, task version and package version everywhere, the same test set for a pair of encoders.
    sizes: the fields that count the test set.
    """
    for record in records:
        _check_fields(record, _FIELDS | dict.fromkeys(sizes, int))
    expected = list(dict.fromkeys(expected))
    found = Counter(cell(record) for record in records)
    for cells, words in (
        ([one for one in expected if one not in found], "has no record; run its job again"),
        ([one for one, times in found.items() if times > 1], "has more than one record; keep one"),
        (
            [one for one in found if one not in set(expected)],
            "has a record but isn't in the config; add it or leave it",
        ),
    ):
        if cells:
            raise InputError(f"table: the cell {name(cells[0])} {words} ({len(cells)} of {len(expected)} cells).")
    for field in ("task", "task_version", "version"):
        _check_same(records, field, within=())
    for field in sizes:
        _check_same(records, field, within=("dataset", "vision", "text"))


def _check_fields(record: Record, fields: Mapping[str, type]) -> None:
    """A record has every field that the tables read, of the right type."""
    for field, kind in fields.items():
        if not isinstance(record.get(field), kind):
            who = ", ".join(f"{key} {record[key]}" for key in (*IDENTITY, "seed") if key in record)
            found = repr(record[field]) if field in record else "nothing"
            raise InputError(f"record ({who}): expected {field} as {kind.__name__}, found {found}; run its job again.")
    if record["role"] not in ROLES:
        raise InputError(f"record {name(cell(record))}: expected a role of {ROLES}, found {record['role']!r}.")


def _check_same(records: Sequence[Record], field: str, within: Sequence[str]) -> None:
    """All records (of those that share `within`) agree on a field."""
    first: dict[tuple, Record] = {}
    for record in records:
        other = first.setdefault(tuple(record[key] for key in within), record)
        if record[field] != other[field]:
            raise InputError(
                f"table: {field} is {other[field]!r} in {name(cell(other))} and {record[field]!r} in"
                f" {name(cell(record))}; such numbers don't share a table, run the older job again."
            )


def queries(record: Record, table: Table, images: np.ndarray) -> tuple[Queries, Queries]:
    """Both directions of a run's prediction table, with image ids as places in the sorted `images`.

    Raises `InputError` where the ranks aren't ranks, or aren't those that the record was computed from.
    """
    who = name(cell(record))
    direction, image_id, rank = (np.asarray(table[column]) for column in ("direction", "image_id", "rank"))
    place = np.searchsorted(images, image_id).clip(max=len(images) - 1)
    strange = image_id[images[place] != image_id]
    if strange.size:
        raise InputError(f"{who}: image {strange[0]} isn't in the other runs of this data set; run its job again.")
    if not (np.isfinite(rank).all() and (rank >= 1).all()):
        raise InputError(f"{who}: expected finite ranks of 1 or more, found {rank.min()}; run its job again.")
    i2t, t2i = (Queries(rank[direction == way].astype(float), place[direction == way]) for way in ("i2t", "t2i"))
    _check_agreement(record, i2t, t2i)
    return i2t, t2i


def _check_agreement(record: Record, i2t: Queries, t2i: Queries) -> None:
    """The record's sizes and metrics are those of its ranks."""
    who = name(cell(record))
    told, found = (record["n_images"], record["n_captions"]), (len(i2t.ranks), len(t2i.ranks))
    if told != found:
        raise InputError(f"{who}: the record counts {told} images and captions, its ranks {found}; run its job again.")
    for metric, value in summary(i2t.ranks, t2i.ranks).items():
        told = record["metrics"].get(metric)
        if told is None or not np.isclose(told, value, rtol=1e-9, atol=1e-12):
            raise InputError(f"{who}: the record's {metric} is {told}, its ranks give {value}; run its job again.")
