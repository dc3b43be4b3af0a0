"""All retrieval tables of a set of runs in one call: checked, collated, rendered. Records in, texts out; no path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ngw.report import against, efficiency
from ngw.report.collate import (
    DIFFERENCE_COLUMNS,
    DRAWS,
    bootstrap_all,
    collate,
    differences,
    to_csv,
)
from ngw.report.records import Cell, Record, Table, check, pair
from ngw.report.references import tables as references_of
from ngw.report.render import console, retrieval_document
from ngw.report.tables import encoder_pairs


def retrieval(
    records: Sequence[Record], tables: Mapping[Cell, Table], expected: Iterable[Cell], draws: int = DRAWS,
    references: Sequence[Mapping[str, Any]] = (),
) -> dict[str, str]:  # fmt: skip
    """The files of `results/tables`, by name, as text. `retrieval.txt` is what the terminal shows.

    Args:
        records: the metrics of every run, in the order the tables shall have.
        tables: the prediction table (columns direction, image_id, rank) of each record's `records.cell`.
        expected: the cells that the config asks for. One that is missing, doubled or extra is an `InputError`.
        references: published numbers, as `ngw.report.references.tables` takes them.
    """
    check(records, expected)
    samples = bootstrap_all(records, tables, draws)
    rows, costs, compared = collate(records, samples), efficiency.rows(records), differences(records, samples)
    sizes = {pair(record): (record["n_images"], record["n_captions"]) for record in records}
    published = references_of(references, list(dict.fromkeys(record["dataset"] for record in records)))
    rivals = against.rows(records, samples)
    extra = [against.table(rivals, one) for one in encoder_pairs(rivals)]
    return {
        "retrieval.csv": to_csv(rows),
        "retrieval.md": retrieval_document(rows, compared, sizes, "md", extra, published),
        "retrieval.tex": retrieval_document(rows, compared, sizes, "tex", extra, published),
        "retrieval.txt": console(rows, sizes),
        "retrieval-differences.csv": to_csv(compared, DIFFERENCE_COLUMNS),
        "retrieval-against-ngw.csv": to_csv(rivals, against.COLUMNS),
        "efficiency.csv": to_csv(costs),
        "efficiency.md": efficiency.document(costs, "md"),
        "efficiency.tex": efficiency.document(costs, "tex"),
    }
