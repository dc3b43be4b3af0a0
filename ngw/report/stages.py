"""The stages that make tables and figures: records of many runs in, the files of `results/tables` and figures out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ngw import io
from ngw.arguments import (
    AblationGrid,
    FusionCells,
    Grid,
    MethodCells,
    Output,
    Records,
    Table,
    Tables,
    Text,
    Vision,
    options,
    pairs,
)
from ngw.cli import stage
from ngw.errors import InputError
from ngw.record import Record

if TYPE_CHECKING:
    import pandas as pd

    from ngw.report.frames import Pair

RANKS = ["direction", "image_id", "rank"]  # columns of predictions/retrieval.parquet
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


class PredictionFiles(Mapping[tuple, dict]):
    """Columns of the runs' predictions by cell, read on request: all of them together need not fit in memory.

    At the paper's size, the predictions of its 858 rows of answers would take 87 GB.
    """

    def __init__(self, files: Mapping[tuple, str], columns: Sequence[str]) -> None:
        self.files, self.columns = files, columns

    def __getitem__(self, cell: tuple) -> dict[str, list]:
        return io.read_table(self.files[cell], self.columns)

    def __iter__(self) -> Iterator[tuple]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __contains__(self, cell: object) -> bool:
        return cell in self.files


def read_runs(
    cells: Sequence[Mapping[str, Any]], task: str, columns: Sequence[str] = ()
) -> tuple[list[Record], Mapping[tuple, dict], list[tuple]]:
    """Records of a task's runs, these columns of their predictions by cell, and the cells that the table expects."""
    from ngw.config import FUSION, RUN
    from ngw.report.records import cell

    folders = [(FUSION if "fusion" in c else RUN).format(**c) for c in cells]
    expected = [cell({"method": c.get("fusion"), **c}) for c in cells]  # a table of fusions has them as methods
    records = [Record.read(f"{folder}/metrics/{task}.json") for folder in folders]
    if not columns:
        return records, {}, expected
    files = [f"{folder}/predictions/{task}.parquet" for folder in folders]
    return records, PredictionFiles(dict(zip(expected, files, strict=True)), columns), expected


@stage("Collate the runs of a config into tables.")
def collate(grid: Grid, output: Output) -> None:
    """The tables stage: every run's record and ranks to csv, md, tex and txt; a missing cell is an error."""
    from ngw.config import cells
    from ngw.report.tables.retrieval import build

    runs = read_runs(cells(grid), "retrieval", RANKS)
    write_tables(build(*runs, references=grid.get("references", [])), output)


def write_tables(texts: Mapping[str, str], output: Path) -> None:
    """Write tables; NAME.json beside NAME.csv, .md, .tex and .txt says what made them, and vouches for them."""
    written = defaultdict(list)
    for name, text in texts.items():
        path = output / name
        io.write_text(path, text)
        written[path.stem].append(path)
    for name, paths in written.items():
        Record.of({"table": name}).write(output / f"{name}.json", paths)


def read_text(table: Path) -> str:
    """The text of a table's file, refused where it isn't what its stage wrote."""
    io.check_vouched(table.with_suffix(".json"), table)
    return table.read_text(encoding="utf-8")


def read_figure(path: Path) -> bytes:
    """A figure, refused where the checksums within the png don't fit."""
    from PIL import Image

    content = path.read_bytes()
    try:
        with Image.open(BytesIO(content)) as picture:
            picture.verify()
        flaw = "" if content.endswith(PNG_END) else "a cut end"  # which `verify` doesn't check
    except (OSError, SyntaxError, ValueError) as error:
        flaw = str(error)
    if flaw:
        raise InputError(f"{path}: expected a whole png, found {flaw}; delete it and rerun its stage.")
    return content


@stage("Draw the figures of a table.")
def figures(table: Table, output: Output) -> None:
    """The figures stage: figure 1, R@K against known pairs, for each pair of encoders, from the csv alone."""
    from ngw.report.figures import recall_figure

    draw(table, partial(recall_figure, cutoffs=(1, 10)), "retrieval", output)


@stage("Draw quality against compute.")
def efficiency_figures(table: Table, output: Output) -> None:
    """The efficiency figures stage: quality against compute for each pair of encoders, from the csv alone."""
    from ngw.report.tables.efficiency import figure

    draw(table, figure, "efficiency", output)


@stage("Sum the time of each rule's jobs.")
def stages(benchmarks: Annotated[Path, "folder of Snakemake's benchmark files"], output: Output) -> None:
    """The stages stage: time and memory of each rule's jobs, from Snakemake's benchmark files."""
    from ngw.report.tables.efficiency import stages as summed
    from ngw.report.tables.efficiency import stages_files

    files = {path.relative_to(benchmarks).as_posix(): path for path in sorted(benchmarks.rglob("*.tsv"))}
    if not files:
        raise InputError(f"{benchmarks}: expected benchmark files of Snakemake, found none; run the workflow first.")
    write_tables(stages_files(summed({name: path.read_text() for name, path in files.items()})), output)


@stage("Write every table and figure as one HTML file.")
def page(
    tables: Annotated[Path, "folder of the tables"], figures: Annotated[Path, "folder of the figures"],
    config: Annotated[Mapping, options, "the config, as JSON"], output: Output,
) -> None:  # fmt: skip
    """The page stage: every table and figure in one HTML file, with the config and the machine that made them."""
    import yaml

    from ngw.config import Config
    from ngw.report import page as html
    from ngw.report.frames import read_csv
    from ngw.report.runs import of_config
    from ngw.report.summary import SOURCES, summary
    from ngw.report.tables.ablations import methods
    from ngw.tools.provenance import about

    documents = {path.stem: read_text(path) for path in sorted(tables.glob("*.md"))}
    if not documents:
        raise InputError(f"{tables}: expected tables, found none; run the workflow first.")
    shown = {path.name: read_figure(path) for path in sorted(figures.glob("*.png"))}
    frames = {name: read_csv(read_text(path)) for name in SOURCES if (path := tables / f"{name}.csv").is_file()}
    ablated = [name for name in documents if name.startswith("ablations")]
    names = {name: methods(read_csv(read_text(tables / f"{name}.csv"))) for name in ablated}
    text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    runs = of_config(Config(config))
    found = html.sections(documents, shown, runs, names), summary(runs, frames)
    io.write_text(output, html.page("Neural Geometry Warping", about(), text, *found))


def draw(table: Path, figure: Callable[[pd.DataFrame, Pair], Any], name: str, output: Path) -> None:
    """The figure of each pair of encoders in a csv, as png and pdf."""
    from ngw.report.frames import encoder_pairs, read_csv

    rows = read_csv(read_text(table))
    output.mkdir(parents=True, exist_ok=True)
    for pair in encoder_pairs(rows):
        write_figure(figure(rows, pair), f"{name}.{'.'.join(pair)}", output)


def write_figure(figure: Any, name: str, output: Path) -> None:
    """A figure as png and pdf."""
    from ngw.report.style import encode as encode_figure

    for form in ("png", "pdf"):
        with io.atomic(output / f"{name}.{form}") as temporary:
            temporary.write_bytes(encode_figure(figure, form))


@stage("Collate identifiability records into tables.")
def identifiability_tables(grid: Grid, output: Output) -> None:
    """The identifiability tables stage: every run's record to csv, md and tex; a missing cell is an error."""
    from ngw.config import cells
    from ngw.report.tables.identifiability import build

    records, _, expected = read_runs(cells(grid), "identifiability")
    write_tables(build(records, expected), output)


@stage("Draw the Jacobians' spectra.")
def identifiability_figures(table: Table, output: Output) -> None:
    """The spectrum figure of each pair of encoders, from the csv of singular values alone."""
    from ngw.report.tables.identifiability import spectrum_figure

    draw(table, spectrum_figure, "identifiability", output)


@stage("Write the similarity table, beside the R@1 that alignment reaches.")
def similarity_tables(
    records: Annotated[Sequence[Path], "records of the similarity stage"], table: Table,
    pairs: Annotated[str, pairs, "the budget whose best R@1 is shown"], output: Output,
) -> None:  # fmt: skip
    """The similarity table stage: the records of all pairs of encoders, beside the retrieval table's R@1."""
    from ngw.report.frames import read_csv
    from ngw.report.tables.similarity import build

    write_tables(build([Record.read(path) for path in records], read_csv(read_text(table)), pairs), output)


@stage("Collate retrieval records into the ablation table.")
def ablation_tables(
    grid: AblationGrid, output: Output, name: Annotated[str, "the files' name, without its ending"] = "ablations"
) -> None:
    """The ablation tables stage: retrieval records and ranks to csv, md and tex; a missing cell is an error."""
    from ngw.config import cells
    from ngw.report.tables.ablations import build

    write_tables(build(*read_runs(cells(grid), "retrieval", RANKS), grid["groups"], name), output)


@stage("Draw the ablations, one panel per option.")
def ablation_figures(table: Table, output: Output) -> None:
    """The ablation figure of each pair of encoders, from the csv alone; named like the csv."""
    from ngw.report.tables.ablations import figure

    draw(table, figure, table.stem, output)


@stage("Collate VQA records into tables.")
def vqa_tables(cells: FusionCells, output: Output) -> None:
    """The VQA tables stage: every run's record and scores to csv, md, tex and txt; a missing cell is an error."""
    from ngw.report.tables.vqa import build

    columns = ["question_id", "image_id", "question_type", "answer_type", "answer", "accuracy", "always"]
    write_tables(build(*read_runs(cells, "vqa", columns)), output)


@stage("Draw accuracy against labels.")
def vqa_figures(table: Table, output: Output) -> None:
    """The VQA figures stage: accuracy against labels for each pair of encoders, from the csv alone."""
    from ngw.report.figures import labels_figure

    draw(table, labels_figure, "vqa", output)


@stage("Draw a page of questions, answers and attention.")
def vqa_examples(
    tables: Tables, records: Records, answers: Annotated[Sequence[Path], "their scored answers, in that order"],
    network: Annotated[Path, "network of the first run, whose attention is shown"], vision: Vision, text: Text,
    output: Output, model: Annotated[Path | None, "its aligner: file of a fitted method"] = None,
) -> None:  # fmt: skip
    """The VQA examples stage: a dozen questions drawn at random, the fusions' answers, the first one's attention."""
    from ngw.features.tokens import TokenFile
    from ngw.methods import load
    from ngw.report.examples import Example, vqa_sheet
    from ngw.tasks.vqa import examples as task

    a, b = TokenFile(vision), TokenFile(text)
    names = [Record.read(path)["fusion"] for path in records]
    columns = ["question_id", "image_id", "answer", "accuracy"]
    by_fusion = {name: io.read_table(path, columns) for name, path in zip(names, answers, strict=True)}
    questions = io.read_table(tables / "questions.parquet", ["question_id", "text", "multiple_choice_answer"])
    images = io.read_table(tables / "images.parquet", ["image_id", "path"])
    rows = task.examples(a, b, network, None if model is None else load(model), by_fusion, questions, images)
    examples = [Example(**fields) for fields in rows]
    name = f"vqa-examples.{a.metadata['dataset']}.{a.metadata['encoder']}.{b.metadata['encoder']}"
    write_figure(vqa_sheet(examples), name, output)


@stage("Collate caption records into tables.")
def generation_tables(
    cells: MethodCells, output: Output, images: Annotated[bool, "tabulate generated pictures too"] = False
) -> None:
    """The generation tables stage: every run's record and scores to csv, md, tex, txt; a missing cell is an error.

    images: whether to tabulate generated pictures too.
    """
    from ngw.metrics.text import METRICS
    from ngw.report.tables.generation import COSINES, DECODERS, build

    columns = ["image_id", *(decoder + metric for decoder in DECODERS for metric in ("bleu", *METRICS[4:]))]
    pictures, judged, _ = read_runs(cells if images else [], "imaging", ["image_id", *COSINES])
    write_tables(build(*read_runs(cells, "captioning", columns), pictures=pictures, judged=judged), output)
