"""The classification tables: top-1 by number of pairs, all metrics per budget, comparisons, and confusions.

A row's data set is the classified one; all runs were fitted on another, which the titles name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ngw.errors import InputError
from ngw.features.clouds import ALL, NONE, SETTINGS
from ngw.metrics.classification import METRICS, chance, summary
from ngw.report import statistics
from ngw.report.frames import (
    Pair,
    at_budget,
    budgets,
    count,
    encoder_pairs,
    in_setting,
    in_words,
    of,
    over_seeds,
    rounded,
    settings,
    significant,
    to_csv,
)
from ngw.report.layout import Table, difference_tables, headings, metric_table, per_cent, reference_tables, text_line
from ngw.report.records import Cell, Record, cell, check, check_agreement, name, pair
from ngw.report.render import files, plain
from ngw.report.statistics import DRAWS, Predictions, Samples, intervals, weighted_means

REFERENCE, QUALITY = "ngw", "top_1"
PROBE, CHANCE = "linear-probe", "chance"
WORST = 10  # classes whose mistakes are listed
_PROBE_NOTE = "linear-probe: ridge regression from frozen image features to the labels of training images, a ceiling."

KINDS = {"image_id": np.int64, "label": np.int32, "predicted": np.int32, "rank": np.float32}  # ranks end in .0 or .5

Runs = Sequence[tuple[Record, Predictions]]


def build(runs: Runs, expected: Iterable[Cell], draws: int = DRAWS) -> dict[str, str]:
    """The files of `results/tables` by name, as text; the terminal shows `classification.txt`.

    runs: `by_set` of every run, in the tables' order, and of the linear probes.  expected: the cells of the config's
    runs.  A missing, doubled or extra cell is an `InputError`.
    """
    classified = [run for run in runs if "method" in run[0]]
    probes = [run for run in runs if "method" not in run[0]]
    sets = list(dict.fromkeys(record["dataset"] for record, _ in classified))
    wanted = [(dataset, *rest) for _, *rest in expected for dataset in sets]
    check([record for record, _ in classified], wanted, ("n_images", "n_classes"))
    about = {pair(record): record for record, _ in classified}
    controls = [run for who in about for run in _probed(probes, about[who])]
    records = [record for record, _ in classified + controls]
    predictions = {cell(record): table for record, table in classified + controls}
    sampled = statistics.samples(records, predictions, "predictions", draws, _metrics)
    long = rows([*records, *map(_guessing, about.values())], sampled)
    compared = long[long["role"] != "control"]
    changes = statistics.best_baseline_differences(compared, QUALITY, sampled)
    rivals = statistics.reference_differences(compared, QUALITY, REFERENCE, sampled)
    mistakes = confusions(classified)
    main = {who: _main_tables(of(long, who), about[who]) for who in encoder_pairs(long)}
    tables = [
        table
        for who in main
        for table in [*main[who], *_full_tables(of(long, who), changes, about[who]), *_worst(of(mistakes, who))]
    ]
    for unpaired in settings(rivals):
        what = f"top-1 accuracy, by number of pairs{in_words(unpaired)}"
        tables += reference_tables(in_setting(rivals, unpaired), "pairs", what, "classification", unpaired)
    return {
        "classification.csv": to_csv(long),
        **files("classification", "Zero-shot classification", tables),
        "classification.txt": "\n".join(plain(table) for some in main.values() for table in some),
        "classification-differences.csv": to_csv(changes),
        "classification-against-ngw.csv": to_csv(rivals),
        "classification-confusions.csv": to_csv(mistakes),
    }


def by_set(record: Record, table: Predictions) -> list[tuple[Record, Predictions]]:
    """A run, or a linear probe, as records of one classified data set each, named by `dataset`, with its predictions.

    Arrays take a tenth of the memory of columns of Python numbers.
    """
    which = np.asarray(table["set"])
    entries = {key: value for key, value in record.items() if key != "sets"} | {"aligned_on": record["dataset"]}
    parts: list[tuple[Record, Predictions]] = []
    for dataset, found in record["sets"].items():
        own: Any = {column: np.asarray(table[column], kind)[which == dataset] for column, kind in KINDS.items()}
        parts.append((Record({**entries, "cost": {}, "dataset": dataset, **found}), own))
    return parts


def _probed(probes: Runs, about: Record) -> list[tuple[Record, Predictions]]:
    """The linear probe beside the rows of one data set and pair of encoders, if it has one."""
    return [
        (_control(record, about, PROBE, ALL, record["metrics"]), table)
        for record, table in probes
        if (record["dataset"], record["vision"]) == (about["dataset"], about["vision"])
    ]


def _guessing(about: Record) -> Record:
    """The record of chance, which needs no run."""
    return _control(about, about, CHANCE, "0", chance(about["n_classes"]))


def _control(record: Record, about: Record, method: str, pairs: str, metrics: Mapping[str, float]) -> Record:
    """A record of a control that depends on neither pairs nor texts, beside the rows of a data set and encoders."""
    who = {"dataset": about["dataset"], "vision": about["vision"], "text": about["text"], "method": method}
    own = {"pairs": pairs, "unpaired": NONE, "seed": 0, "role": "control", "converged": True, "metrics": dict(metrics)}
    return Record({**record, **who, **own})


def _metrics(record: Record, table: Predictions, place: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """A run's metrics on every sample of the images; its predictions must agree with its record."""
    rank, label = np.asarray(table["rank"], float), np.asarray(table["label"])
    who = name(cell(record))
    if not (len(rank) == len(np.unique(place)) == record["n_images"]):
        raise InputError(f"{who}: the record counts {record['n_images']} images, found {len(rank)}; run its job again.")
    if not (np.isfinite(rank).all() and (rank >= 1).all()):
        raise InputError(f"{who}: expected finite ranks of 1 or more, found {rank.min()}; run its job again.")
    check_agreement(record, summary(rank, label), "predictions")
    tops = weighted_means(np.stack([rank <= 1, rank <= 5], axis=1).astype(float), place, counts)
    return {"top_1": tops[:, 0], "top_5": tops[:, 1], "mean_per_class": _of_classes(rank <= 1, label, place, counts)}


def _of_classes(hits: np.ndarray, label: np.ndarray, place: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean accuracy over the classes in each sample, [draws]."""
    order = np.argsort(label, kind="stable")
    starts = np.unique(label[order], return_index=True)[1]
    drawn = counts[:, place[order]]
    sizes = np.add.reduceat(drawn, starts, axis=1)
    right = np.add.reduceat(drawn * hits[order], starts, axis=1)
    return (right / np.maximum(sizes, 1)).sum(1) / (sizes > 0).sum(1)


def rows(records: Sequence[Record], sampled: Samples) -> pd.DataFrame:
    """Rows of the table."""
    return over_seeds(records, lambda run: {m: run["metrics"][m] for m in METRICS}, intervals(sampled))


def _where(about: Record) -> str:
    """The data set with its size, the encoders, and what the runs were fitted on."""
    size = f"{about['n_images']:,} test images, {about['n_classes']:,} classes"
    return f"{about['dataset']} ({size}), {about['vision']} and {about['text']}, aligned on {about['aligned_on']}"


def _notes(about: Record) -> list[str]:
    """How prompts define a class, and what the probe is."""
    templates = about["templates"]
    some = ", ".join(f'"{template}"' for template in templates[:3]) + ", ..." * (len(templates) > 3)
    return [f"A class is the normalised mean of its embedded prompts, {some} ({len(templates)} in all).", _PROBE_NOTE]


def _main_tables(here: pd.DataFrame, about: Record) -> list[Table]:
    """Top-1 of one data set and pair of encoders: one table per setting, one line per method, one column per budget."""
    here = here[here["metric"] == QUALITY]
    columns = budgets(here["pairs"])
    return [
        metric_table(
            in_setting(here, unpaired),
            [[(pairs, QUALITY)] for pairs in columns],
            title=f"Top-1 accuracy in per cent, by number of pairs{in_words(unpaired)}: {_where(about)}",
            slug=["classification", *pair(about), unpaired],
            corner="pairs",
            header=columns,
            chance=significant(1 / about["n_classes"]),
            notes=[f"Unpaired rows {unpaired}: {SETTINGS[unpaired]}.", *_notes(about)],
        )
        for unpaired in settings(here)
    ]


def _full_tables(here: pd.DataFrame, changes: pd.DataFrame, about: Record) -> list[Table]:
    """All metrics, one table per budget and setting; then the comparison with the best baseline."""
    methods = here[here["role"] != "control"]
    at = [(pairs, s) for pairs in budgets(methods["pairs"]) for s in settings(here[here["pairs"] == pairs])]
    beside = changes.assign(pairs=changes["pairs"] + changes["unpaired"].map(lambda s: f", {s}" * (s != NONE)))
    return [
        *(
            metric_table(
                at_budget(in_setting(here, unpaired), pairs),
                [[(pairs, metric)] for metric in METRICS],
                title=f"Accuracy in per cent with {count(pairs)}{in_words(unpaired)}: {_where(about)}",
                slug=["classification", *pair(about), pairs, unpaired],
                header=headings(METRICS),
            )
            for pairs, unpaired in at
        ),
        *difference_tables(beside, pair(about), "pairs", "top-1 accuracy", "classification-differences"),
    ]


def confusions(classified: Runs) -> pd.DataFrame:
    """One row per class: the reference's accuracy on its images, and the class most often predicted for the others.

    At the middle budget in the first setting, all seeds together.  mistaken_for is empty where every image is right.
    """
    found: list[dict[str, Any]] = []
    for who in dict.fromkeys(pair(record) for record, _ in classified):
        here = [run for run in classified if pair(run[0]) == who]
        names = [record["method"] for record, _ in here if record["role"] != "control"]
        method = REFERENCE if REFERENCE in names else next(iter(names), here[0][0]["method"])
        own = [run for run in here if run[0]["method"] == method]
        known = budgets(record["pairs"] for record, _ in own)
        place = next((r["pairs"], r["unpaired"]) for r, _ in own if r["pairs"] == known[len(known) // 2])
        chosen = [run for run in own if (run[0]["pairs"], run[0]["unpaired"]) == place]
        head = dict(zip(("dataset", "vision", "text"), who, strict=True)) | {"method": method}
        found += [head | {"pairs": place[0], "unpaired": place[1], **row} for row in _mistakes(chosen)]
    return rounded(pd.DataFrame(found), ["accuracy", "share"])


def _mistakes(runs: Runs) -> list[dict[str, Any]]:
    """The classes of one data set in their order: accuracy and most frequent mistake over the runs of all seeds."""
    classes = runs[0][0]["classes"]
    label, predicted = (np.concatenate([np.asarray(t[column]) for _, t in runs]) for column in ("label", "predicted"))
    found = []
    for k, one in enumerate(classes):
        taken = Counter(predicted[label == k].tolist())
        total = sum(taken.values())
        others = [(other, times) for other, times in taken.most_common() if other != k]
        other, times = others[0] if others else (None, 0)
        found.append({
            "class": one, "n_images": total // len(runs), "accuracy": taken[k] / total,
            "mistaken_for": "" if other is None else classes[other], "share": times / total,
        })  # fmt: skip
    return found


def _worst(mistakes: pd.DataFrame) -> list[Table]:
    """The classes with the lowest accuracy, for one data set and pair of encoders."""
    worst = mistakes.sort_values("accuracy", kind="stable")[:WORST]
    one = worst.iloc[0]
    who: Pair = (one["dataset"], one["vision"], one["text"])
    run = f"{one['method']}, {count(one['pairs'])}{in_words(one['unpaired'])}"
    lines = [
        text_line(row["class"], [str(row["n_images"]), per_cent(row["accuracy"]), row["mistaken_for"], _share(row)])
        for row in worst.to_dict("records")
    ]
    title = f"The {len(lines)} classes with the lowest accuracy ({run}): {who[0]}, {who[1]} and {who[2]}"
    header = ["test images", "top-1 (%)", "most often mistaken for", "of its images (%)"]
    note = "All seeds together; classification-confusions.csv has all classes."
    return [Table(title, "-".join(["classification-confusions", *who]), "class", header, lines, [note])]


def _share(row: Mapping[str, Any]) -> str:
    return per_cent(row["share"]) if row["mistaken_for"] else ""
