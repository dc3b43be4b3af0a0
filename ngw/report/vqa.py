"""The VQA tables: accuracy by answer type, the curve over labels, and differences to the best baseline."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ngw.errors import InputError
from ngw.metrics.vqa import summary
from ngw.report import against
from ngw.report import records as checks
from ngw.report.collate import DRAWS, Row, by_seeds, mean_of, rounded, seeds_row, to_csv
from ngw.report.records import IDENTITY, Cell, Record, identity, name, pair
from ngw.report.render import markdown, plain, tex
from ngw.report.statistics import interval, paired_difference, resample, weighted_means
from ngw.report.tables import Line, Number, Pair, Table, budgets, encoder_pairs, legend_of, lines_of, of
from ngw.seeds import rng

COLUMNS = (*IDENTITY, "labels", "metric", "mean", "std", "low", "high", "n_seeds", "role")
DIFFERENCE_COLUMNS = (*IDENTITY, "labels", "baseline", "metric", "difference", "low", "high", "p", "n_seeds")
METRICS = ("accuracy", "accuracy_yes_no", "accuracy_number", "accuracy_other", "always_accuracy")
ALPHAS = ("alpha_a", "alpha_b")
ALL = "all"
AGAINST = "accuracy, by per cent of the labels"

Scores = Mapping[str, Sequence]  # predictions/vqa.parquet: columns image_id, answer_type, accuracy, always
Samples = dict[Cell, dict[str, np.ndarray]]  # [draws] of each run and metric


def cell(run: Mapping[str, Any]) -> Cell:
    """The cell of the table that a run fills: a record, or an entry of the config's list of runs."""
    return checks.cell(_as_method(run))


def build(
    records: Sequence[Record], tables: Mapping[Cell, Scores], expected: Iterable[Cell], draws: int = DRAWS
) -> dict[str, str]:
    """The files of `results/tables` by name, as text; `vqa.txt` is what the terminal shows.

    Args:
        records: metrics/vqa.json of every run, in the order the tables shall have.
        tables: the scores of each record's `cell`, question by question.
        expected: the cells that the config asks for. One that is missing, doubled or extra is an `InputError`.
    """
    records = [_as_method(record) for record in records]
    checks.check(records, expected, ("n_images", "n_questions"))
    samples = bootstrap(records, tables, draws)
    found, compared = rows(records, samples), differences(records, samples)
    about, rivals = {pair(record): record for record in records}, against_first(records, samples)
    laid = [table for who in encoder_pairs(found) for table in _tables(found, compared, who, about[who])]
    laid += [against.table(rivals, who, "labels", AGAINST) for who in encoder_pairs(rivals)]
    return {
        "vqa.csv": to_csv(found, COLUMNS),
        "vqa.md": "\n".join(["# Visual question answering\n", *map(markdown, laid)]),
        "vqa.tex": "\n".join(map(tex, laid)),
        "vqa.txt": "\n".join(plain(main_table(found, who, about[who])) for who in encoder_pairs(found)),
        "vqa-differences.csv": to_csv(compared, DIFFERENCE_COLUMNS),
        "vqa-against-ngw.csv": to_csv(rivals, (*IDENTITY, "labels", *against.COLUMNS[len(IDENTITY) :])),
    }


def bootstrap(records: Sequence[Record], tables: Mapping[Cell, Scores], draws: int) -> Samples:
    """Accuracies on bootstrap samples of the images; all runs of a data set share the same draws."""
    samples, images, counts = {}, {}, {}
    for record in records:
        who, dataset = checks.cell(record), record["dataset"]
        if who not in tables:
            raise InputError(f"table: {name(who)} has a record but no scores; run its job again.")
        table = {key: np.asarray(values) for key, values in tables[who].items()}
        _check_agreement(record, table)
        if dataset not in images:
            images[dataset] = np.unique(table["image_id"])
            counts[dataset] = resample(len(images[dataset]), draws, rng(0, "bootstrap", dataset))
        place = np.searchsorted(images[dataset], table["image_id"]).clip(max=len(images[dataset]) - 1)
        if (images[dataset][place] != table["image_id"]).any():
            raise InputError(f"{name(who)}: other images than the other runs of this data set; run its job again.")
        samples[who] = {
            metric: _means(table[column][chosen], place[chosen], counts[dataset])
            for metric, column, chosen in _parts(table)
            if metric in record["metrics"]
        }
    return samples


def _means(values: np.ndarray, place: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean on every sample that has a question of the kind: [draws] or fewer, where the kind is rare."""
    some = counts @ np.bincount(place, minlength=counts.shape[1]) > 0
    return weighted_means(values[:, None], place, counts[some])[:, 0]


def _parts(table: Mapping[str, np.ndarray]) -> list[tuple[str, str, np.ndarray]]:
    """(metric, column, rows) of each accuracy."""
    everywhere = np.ones(len(table["accuracy"]), bool)
    kinds = {"yes_no": "yes/no", "number": "number", "other": "other"}
    by_type = [(f"accuracy_{key}", "accuracy", table["answer_type"] == kind) for key, kind in kinds.items()]
    return [("accuracy", "accuracy", everywhere), *by_type, ("always_accuracy", "always", everywhere)]


def _check_agreement(record: Record, table: Mapping[str, np.ndarray]) -> None:
    """The record's sizes and metrics are those of its scores."""
    who = name(checks.cell(record))
    told = (record["n_questions"], record["n_images"])
    found = (len(table["accuracy"]), len(np.unique(table["image_id"])))
    if told != found:
        raise InputError(f"{who}: the record counts {told} questions and images, its scores {found}; run it again.")
    given = summary(table["accuracy"], table["answer_type"].tolist()) | {"always_accuracy": table["always"].mean()}
    for metric, value in given.items():
        told = record["metrics"].get(metric)
        if told is None or not np.isclose(told, value, rtol=1e-9, atol=1e-12):
            raise InputError(f"{who}: the record's {metric} is {told}, its scores give {value}; run its job again.")


def rows(records: Sequence[Record], samples: Samples) -> list[Row]:
    """Rows of the table, `COLUMNS`; alphas have their least and largest over seeds as `low` and `high`."""
    found = []
    for runs in by_seeds(records):
        for metric in (m for m in METRICS if m in runs[0]["metrics"]):
            low, high = interval([samples[checks.cell(run)][metric] for run in runs])
            values = [run["metrics"][metric] for run in runs]
            found.append(seeds_row(runs, metric, values, float(low), float(high)))
        for side in runs[0]["alphas"]:
            values = [run["alphas"][side] for run in runs]
            found.append(seeds_row(runs, f"alpha_{side}", values, min(values), max(values)))
    return found


def differences(records: Sequence[Record], samples: Samples, metric: str = "accuracy") -> list[Row]:
    """Each of NGW's fusions against the best baseline with as many labels, paired by image."""
    groups, found = by_seeds(records), []
    for runs in groups:
        rivals = [g for g in groups if g[0]["role"] == "baseline" and _place(g) == _place(runs)]
        if runs[0]["role"] != "method" or not rivals:
            continue
        best = max(rivals, key=lambda group: mean_of(group, metric))
        ours, theirs = ([samples[checks.cell(run)][metric] for run in side] for side in (runs, best))
        told = paired_difference(ours, theirs, mean_of(runs, metric) - mean_of(best, metric))
        numbers = {"difference": told.mean, "low": told.low, "high": told.high, "p": told.p}
        who = identity(runs[0]) | {"baseline": best[0]["method"], "metric": metric, "n_seeds": len(runs)}
        found.append(who | {key: rounded(value) for key, value in numbers.items()})
    return found


def against_first(records: Sequence[Record], samples: Samples) -> list[Row]:
    """Each fusion minus the first of NGW's with as many labels (`ngw.report.against.compared`)."""
    first = next((record["method"] for record in records if record["role"] == "method"), "")
    return against.compared(records, lambda run: samples[checks.cell(run)]["accuracy"], "accuracy", first, _place)


def _place(runs: Sequence[Record]) -> tuple:
    """What two fusions must have in common to be compared: not the pairs, which belong to an aligner."""
    return (*pair(runs[0]), runs[0]["labels"])


def _as_method(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run as the other tables know one: the fusion is the method; every training ends."""
    return {**run, "method": run["fusion"], "converged": True}


def from_csv(text: str) -> list[Row]:
    """Rows back from `to_csv` with `COLUMNS`."""
    found = []
    for line in csv.DictReader(io.StringIO(text)):
        numbers = {key: float(line[key]) for key in ("mean", "std", "low", "high")}
        found.append(line | numbers | {"n_seeds": int(line["n_seeds"])})
    return found


def _tables(found: Sequence[Row], compared: Sequence[Row], who: Pair, record: Record) -> list[Table]:
    """The tables of one data set and pair of encoders."""
    shares = {row["labels"] for row in of(found, who)}
    tables = [main_table(found, who, record)] + [labels_table(found, who, record)] * (len(shares) > 1)
    return tables + ([difference_table(compared, who)] if of(compared, who) else [])


def main_table(found: Sequence[Row], who: Pair, record: Record) -> Table:
    """Accuracy with all labels: overall and by answer type, and the learned alphas."""
    here = [row | {"pairs": ALL} for row in of(found, who) if row["labels"] == ALL]
    metrics = [metric for metric in (*METRICS, *ALPHAS) if any(row["metric"] == metric for row in here)]
    lines = lines_of(here, [[(ALL, metric)] for metric in metrics])
    known = record["vocabulary"]
    reach = "" if known["ceiling"] is None else f", with which {100 * known['ceiling']:.1f} % are within reach"
    small = [
        "Accuracy in per cent by the official scorer; always: every answer normalised, not only disputed ones.",
        f"Vocabulary: the {known['n_answers']:,} answers with {known['min_count']} occurrences or more in "
        f"{' and '.join(known['splits'])}{reach}.",
        "alpha_A, alpha_B: each side's learned share of its own tokens, in fusions that mix the sides.",
    ]
    return Table(
        title=f"Visual question answering: {_where(who, record)}",
        slug="-".join(["vqa", *who]),
        corner="fusion",
        header=["alpha_A" if m == "alpha_a" else "alpha_B" if m == "alpha_b" else HEADINGS[m] for m in metrics],
        lines=lines,
        legend=[*small[: 2 + any(m in ALPHAS for m in metrics)], *_small_print(lines)],
    )


HEADINGS = dict(zip(METRICS, ("overall", "yes/no", "number", "other", "always"), strict=True))


def labels_table(found: Sequence[Row], who: Pair, record: Record) -> Table:
    """Accuracy by share of labelled questions: the fusions that have a curve, and controls."""
    here = [row for row in of(found, who) if row["metric"] == "accuracy"]
    curves = {row["method"] for row in here if row["labels"] != ALL}
    here = [row | {"pairs": row["labels"]} for row in here if row["method"] in curves]
    shares = budgets(here)
    lines = lines_of(here, [[(share, "accuracy")] for share in shares])
    return Table(
        title=f"Accuracy by share of the training questions that are labelled: {_where(who, record)}",
        slug="-".join(["vqa-labels", *who]),
        corner="fusion",
        header=[share if share == ALL else f"{share} %" for share in shares],
        lines=lines,
        legend=[*_small_print(lines), "The vocabulary is that of all training questions at every share."],
    )


def difference_table(compared: Sequence[Row], who: Pair) -> Table:
    """NGW's fusions against the best baseline of the same labels, in points of accuracy."""
    lines = []
    for row in of(compared, who):
        low, high = (f"{100 * row[key]:+.1f}" for key in ("low", "high"))
        difference = f"{100 * row['difference']:+.1f}"
        numbers = [_share(row["labels"]), row["baseline"], difference, f"{low} to {high}", f"{row['p']:.3f}"]
        lines.append(Line(row["method"], [[Number(text)] for text in numbers]))
    return Table(
        title=f"Against the best baseline, points of accuracy: {who[0]}, {who[1]} and {who[2]}",
        slug="-".join(["vqa-differences", *who]),
        corner="fusion",
        header=["labels", "best baseline", "difference", "95 % interval", "p"],
        lines=lines,
        legend=["Bootstrap paired and clustered by image; p is two-sided, not corrected for the number of lines."],
    )


def _small_print(lines: Sequence[Line]) -> list[str]:
    """The small print that these lines need; a dash stands where there are no alphas, or no run with so few labels."""
    return [text for text in legend_of(lines) if not text.startswith("–")]


def _share(labels: str) -> str:
    """A share of labels in words."""
    return labels if labels == ALL else f"{labels} %"


def _where(who: Pair, record: Record) -> str:
    """Data set, its size and encoders in words."""
    size = f"{record['n_questions']:,} questions about {record['n_images']:,} images"
    return f"{who[0]} ({record['split']}: {size}), {who[1]} and {who[2]}"
