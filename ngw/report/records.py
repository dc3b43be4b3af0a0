"""Checks of a table's records: they fill the expected cells once each, agree, and fit their predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ngw.errors import InputError
from ngw.record import IDENTITY, Record

ROLES = ("method", "baseline", "control")

Cell = tuple  # dataset, vision, text, method, pairs, unpaired, labels where the task has them, seed

_FIELDS = {
    **dict.fromkeys([*IDENTITY, "role", "task", "version"], str),
    **dict.fromkeys(["seed", "task_version"], int),
    **dict.fromkeys(["metrics", "cost"], Mapping),
    "converged": bool,
}


def identity(row: Mapping[str, Any]) -> dict[str, str]:
    """The fields that identify a record or a row of a table, without the seed."""
    return {key: row[key] for key in (*IDENTITY, "labels") if key in row}


def who_columns(records: Sequence[Record]) -> list[str]:
    """The columns that identify a row, in the order of `identity`."""
    return list(identity(records[0]) if records else IDENTITY)


def cell(run: Mapping[str, Any]) -> Cell:
    """The cell of the table that a run fills: a record, or an entry of the config's list of runs."""
    return (*identity(run).values(), run["seed"])


def by_seeds(records: Sequence[Record]) -> list[list[Record]]:
    """The seeds of each (dataset, vision, text, method, pairs, unpaired), in order of first appearance."""
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        groups.setdefault(cell(record)[:-1], []).append(record)
    return list(groups.values())


def pair(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """The (dataset, vision, text) of a record, or of a row of a table."""
    return row["dataset"], row["vision"], row["text"]


def name(one: Cell) -> str:
    """A cell in words, for messages."""
    dataset, vision, text, *rest, seed = one
    run = ", ".join(
        f"{key} {value}" for key, value in zip(("method", "pairs", "unpaired", "labels"), rest, strict=False)
    )
    return f"(dataset {dataset}, encoders {vision} and {text}, {run}, seed {seed})"


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
    filled = Counter(cell(record) for record in records)
    for cells, words in (
        ([one for one in expected if one not in filled], "has no record; run its job again"),
        ([one for one, times in filled.items() if times > 1], "has more than one record; keep one"),
        (
            [one for one in filled if one not in set(expected)],
            "has a record but isn't in the config; add it or leave it out",
        ),
    ):
        if cells:
            raise InputError(f"table: the cell {name(cells[0])} {words} ({len(cells)} of {len(expected)} cells).")
    for field in ("task", "task_version", "version"):
        _check_same(records, field, within=())
    for field in sizes:
        _check_same(records, field, within=("dataset", "vision", "text"))


def _check_fields(record: Record, fields: Mapping[str, type]) -> None:
    """Check that a record has every field that the tables read, of the right type."""
    for field, kind in fields.items():
        if not isinstance(record.get(field), kind):
            who = ", ".join(f"{key} {record[key]}" for key in (*IDENTITY, "seed") if key in record)
            value = repr(record[field]) if field in record else "nothing"
            raise InputError(f"record ({who}): expected {field} as {kind.__name__}, found {value}; run its job again.")
    if record["role"] not in ROLES:
        roles, role = ", ".join(ROLES), record["role"]
        raise InputError(f"record {name(cell(record))}: expected role {roles}, found {role!r}; run its job again.")


def _check_same(records: Sequence[Record], field: str, within: Sequence[str]) -> None:
    """Check that all records that share `within` agree on a field."""
    first: dict[tuple, Record] = {}
    for record in records:
        other = first.setdefault(tuple(record[key] for key in within), record)
        if record[field] != other[field]:
            raise InputError(
                f"table: {field} is {other[field]!r} in {name(cell(other))} and {record[field]!r} in"
                f" {name(cell(record))}; one table can't have both, run the older job again."
            )


def check_agreement(
    record: Record, values: Mapping[str, float], source: str, remedy: str = "run its job again", rtol: float = 1e-9,
    atol: float = 1e-12,
) -> None:  # fmt: skip
    """Check that the record's metrics are those of its predictions (source: their name)."""
    for metric, value in values.items():
        noted = record["metrics"].get(metric)
        if noted is None or not np.isclose(noted, value, rtol=rtol, atol=atol):
            raise InputError(
                f"{name(cell(record))}: the record's {metric} is {noted}, its {source} give {value}; {remedy}."
            )
