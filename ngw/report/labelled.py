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
    """The classification tables stage: every run's record and predictions to csv, md, tex, txt; no cell may miss."""
    from ngw.report.tables.classification import build

    records, predictions, expected = read_runs(cells, "classification", COLUMNS)
    runs = list(zip(records, predictions.values(), strict=True))
    probed = [(Record.read(path), io.read_table(path.with_suffix(".parquet"), COLUMNS)) for path in probes]
    write_tables(build(runs, probed, expected), output)


@stage("Draw accuracy of classification against pairs.")
def classification_figures(table: Table, output: Output) -> None:
    """The classification figures stage: top-1 against known pairs, a figure a data set and pair of encoders."""
    from ngw.report.figures import accuracy_figure

    draw(table, accuracy_figure, "classification", output)
