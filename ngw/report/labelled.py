"""The stages of classification's tables and figures: records and predictions of many runs in, files out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from ngw import io
from ngw.arguments import MethodCells, Output, Table
from ngw.cli import stage
from ngw.record import Record
from ngw.report.stages import draw, read_runs, write_tables

COLUMNS = ["set", "image_id", "label", "predicted", "rank"]


@stage("Collate classification records into tables.")
def classification_tables(
    cells: MethodCells, output: Output,
    probes: Annotated[Sequence[Path], "records of the linear-probe stage, their predictions beside them"] = (),
) -> None:  # fmt: skip
    """The classification tables stage: records and predictions to csv, md, tex, txt; a missing cell is an error."""
    from ngw.config import RUN
    from ngw.report.tables.classification import build, by_set

    records, _, expected = read_runs(cells, "classification")
    tables = [Path(f"{RUN}/predictions/classification.parquet".format(**cell)) for cell in cells]
    files = list(zip(records, tables, strict=True))
    files += [(Record.read(path), path.with_suffix(".parquet")) for path in probes]
    runs = [part for record, table in files for part in by_set(record, io.read_table(table, COLUMNS))]
    write_tables(build(runs, expected), output)


@stage("Draw accuracy of classification against pairs.")
def classification_figures(table: Table, output: Output) -> None:
    """The classification figures stage: top-1 against known pairs, one per data set and pair of encoders."""
    from ngw.report.figures import accuracy_figure

    draw(table, accuracy_figure, "classification", output)
