"""The VQA tables: accuracy by answer type, the curve over labels, and differences to the best baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd

from ngw.errors import InputError
from ngw.metrics.vqa import summary
from ngw.report import statistics
from ngw.report.frames import budgets, count, encoder_pairs, in_words, of, over_seeds, to_csv
from ngw.report.layout import Table, difference_tables, headings, metric_table, reference_tables
from ngw.report.records import Cell, Record, cell, check, check_agreement, name, pair
from ngw.report.render import files, plain
from ngw.report.statistics import (
    DRAWS,
    Predictions,
    Samples,
    best_baseline_differences,
    intervals,
    reference_differences,
    weighted_means,
)

METRICS = ("accuracy", "accuracy_yes_no", "accuracy_number", "accuracy_other", "always_accuracy")
ALPHAS = ("alpha_a", "alpha_b")
ALL = "all"


def build(
    records: Sequence[Record], scores: Mapping[Cell, Predictions], expected: Iterable[Cell], draws: int = DRAWS
) -> dict[str, str]:
    """The files of `results/tables` by name, as text; the terminal shows `vqa.txt`.

    Args:
        records: metrics/vqa.json of every run, in the tables' order.
        scores: each record's scores, question by question, by its cell, whose method is the fusion.
        expected: the cells of the config's runs. A missing, doubled or extra one is an `InputError`.
    """
    # The form that other tables read: the fusion is the method, and every training converges.
    records = [Record({**record, "method": record["fusion"], "converged": True}) for record in records]
    check(records, expected, ("n_images", "n_questions"))
    sampled = samples(records, scores, draws)
    long = rows(records, sampled)
    changes = best_baseline_differences(long, "accuracy", sampled)
    reference = next((record["method"] for record in records if record["role"] == "method"), "")  # the first of NGW's
    rivals = reference_differences(long, "accuracy", reference, sampled)
    about = {pair(record): record for record in records}
    shown = [_tables(of(long, who), changes, about[who]) for who in encoder_pairs(long)]
    tables = [*chain(*shown), *reference_tables(rivals, "labels", "accuracy, by per cent of the labels")]
    return {
        "vqa.csv": to_csv(long.drop(columns="converged")),
        **files("vqa", "Visual question answering", tables),
        "vqa.txt": "\n".join(plain(main) for main, *_ in shown),
        "vqa-differences.csv": to_csv(changes.drop(columns="converged")),
        "vqa-against-ngw.csv": to_csv(rivals.drop(columns="converged")),
    }


def samples(records: Sequence[Record], scores: Mapping[Cell, Predictions], draws: int) -> Samples:
    """Accuracies on bootstrap samples of the images."""
    return statistics.samples(records, scores, "scores", draws, _accuracies)


def _accuracies(record: Record, scores: Predictions, place: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """The accuracies of a run on every sample; its record must agree with its scores."""
    accuracy, always, kinds = (np.asarray(scores[column]) for column in ("accuracy", "always", "answer_type"))
    expected, found = (record["n_questions"], record["n_images"]), (len(accuracy), len(np.unique(place)))
    if expected != found:
        who = name(cell(record))
        raise InputError(f"{who}: the record counts {expected} questions and images, its scores {found}; run it again.")
    values = summary(accuracy, kinds.tolist()) | {"always_accuracy": always.mean()}
    check_agreement(record, values, "scores")
    sampled = {"accuracy": _means(accuracy, place, counts), "always_accuracy": _means(always, place, counts)}
    for kind in ("yes/no", "number", "other"):
        metric, chosen = f"accuracy_{kind.replace('/', '_')}", kinds == kind
        if metric in record["metrics"]:
            sampled[metric] = _means(accuracy[chosen], place[chosen], counts)
    return sampled


def _means(values: np.ndarray, place: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean on every sample that has a question of the kind: [draws], or fewer where the kind is rare."""
    some = counts @ np.bincount(place, minlength=counts.shape[1]) > 0
    return weighted_means(values[:, None], place, counts[some])[:, 0]


def rows(records: Sequence[Record], sampled: Samples) -> pd.DataFrame:
    """Rows of the table; alphas have their range over seeds as `low` and `high`."""
    return over_seeds(records, _values, intervals(sampled))


def _values(record: Record) -> dict[str, float]:
    """The numbers of one run: accuracies of the kinds of questions in the test set, and the learned alphas."""
    accuracies = {metric: record["metrics"][metric] for metric in METRICS if metric in record["metrics"]}
    return accuracies | {f"alpha_{side}": alpha for side, alpha in record["alphas"].items()}


def _tables(here: pd.DataFrame, changes: pd.DataFrame, record: Record) -> list[Table]:
    """The tables of one data set and pair of encoders: the main one first."""
    changes = changes.assign(labels=changes["labels"].map(_share))
    return [
        main_table(here, record),
        *([labels_table(here, record)] if here["labels"].nunique() > 1 else []),
        *difference_tables(changes, pair(record), "labels", "accuracy", "vqa-differences", corner="fusion"),
    ]


def main_table(here: pd.DataFrame, record: Record) -> Table:
    """Accuracy with all labels: overall and by answer type, and the learned alphas."""
    aligned = here[here["pairs"] != "0"]
    clouds = dict.fromkeys(aligned["pairs"].map(count) + aligned["unpaired"].map(in_words))
    here = here[here["labels"] == ALL].assign(pairs=ALL)
    metrics = [metric for metric in (*METRICS, *ALPHAS) if metric in set(here["metric"])]
    known = record["vocabulary"]
    reach = "" if known["ceiling"] is None else f"; they allow an accuracy of {100 * known['ceiling']:.1f} % at most"
    notes = [
        "Accuracy in per cent by the official scorer; always: with every answer normalised, not only disputed ones.",
        f"Vocabulary: the {known['n_answers']:,} answers with {known['min_count']} occurrences or more in "
        f"{' and '.join(known['splits'])}{reach}.",
    ]
    if shared := record.get("n_images_trained_on"):
        notes.append(f"Training has other questions about {shared:,} of the {record['n_images']:,} test images.")
    if clouds:
        notes.append(f"Aligners, in fusions that have one, are fitted on: {'; '.join(clouds)}.")
    if set(ALPHAS) & set(metrics):
        notes.append("alpha_A, alpha_B: each side's learned share of its own tokens, in fusions that mix the sides.")
    return metric_table(
        here,
        [[(ALL, metric)] for metric in metrics],
        title=f"Visual question answering: {_where(record)}",
        slug=["vqa", *pair(record)],
        corner="fusion",
        header=["overall", *headings(metrics[1:])],
        notes=notes,
        dash=False,
    )


def labels_table(here: pd.DataFrame, record: Record) -> Table:
    """Accuracy by share of labelled questions: the fusions that have a curve, and controls."""
    here = here[here["metric"] == "accuracy"].assign(pairs=here["labels"])
    here = here[here["method"].isin(here.loc[here["labels"] != ALL, "method"])]
    shares = budgets(here["labels"])
    table = metric_table(
        here,
        [[(share, "accuracy")] for share in shares],
        title=f"Accuracy by share of the training questions that are labelled: {_where(record)}",
        slug=["vqa-labels", *pair(record)],
        corner="fusion",
        header=list(map(_share, shares)),
        dash=False,
    )
    return replace(table, legend=[*table.legend, "At every share, the vocabulary comes from all training questions."])


def _share(labels: str) -> str:
    """A share of labels in words."""
    return labels if labels == ALL else f"{labels} %"


def _where(record: Record) -> str:
    """Data set, its size and encoders in words."""
    size = f"{record['n_questions']:,} questions about {record['n_images']:,} images"
    return f"{record['dataset']} ({record['split']}: {size}), {record['vision']} and {record['text']}"
