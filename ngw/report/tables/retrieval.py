"""The retrieval tables: R@K by number of pairs, comparisons, and published numbers in tables of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from ngw.errors import InputError
from ngw.features.clouds import NONE, SETTINGS
from ngw.metrics.retrieval import FOLD, FOLDED, FOLDS, summary
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
    settings,
    significant,
    to_csv,
)
from ngw.report.layout import (
    DIRECTIONS,
    Line,
    Number,
    Table,
    difference_tables,
    headings,
    metric_table,
    reference_tables,
    tenths,
    where,
)
from ngw.report.records import Cell, Record, cell, check, check_agreement, name, pair
from ngw.report.render import markdown, plain, tex
from ngw.report.statistics import (
    DRAWS,
    METRICS,
    Predictions,
    Queries,
    Samples,
    best_baseline_differences,
    bootstrap,
    intervals,
    reference_differences,
)
from ngw.report.tables import efficiency

REFERENCE, QUALITY = "ngw", "mean_recall_1"
CUTOFFS = (1, 10)  # of the main tables, as of figure 1
SHOWN = ("recall_1", "recall_5", "recall_10", "mrr", "median_rank", "foscttm")
_FOSCTTM = (
    "FOSCTTM: share of candidates closer than the true match; for an image, than its closest caption. Text to image,"
    " chance is 50."
)
_FURTHER = "R@5, MRR, median rank and FOSCTTM for each budget: see retrieval.md, In full."
_PUBLISHED = "Taken from the sources, not computed here; data, encoders and splits are theirs."


def build(
    records: Sequence[Record], ranks: Mapping[Cell, Predictions], expected: Iterable[Cell], draws: int = DRAWS,
    references: Sequence[Mapping[str, Any]] = (),
) -> dict[str, str]:  # fmt: skip
    """The files of `results/tables` by name, as text; the terminal shows `retrieval.txt`.

    Args:
        records: the metrics of every run, in the tables' order.
        ranks: the prediction table (columns direction, image_id, rank) of each record's `records.cell`.
        expected: the cells of the config's runs. A missing, doubled or extra one is an `InputError`.
        references: published numbers, as `published` takes them.
    """
    check(records, expected)
    sampled = samples(records, ranks, draws)
    long = rows(records, sampled)
    changes = best_baseline_differences(long, QUALITY, sampled)
    rivals = reference_differences(long, QUALITY, REFERENCE, sampled)
    sizes = {pair(record): (record["n_images"], record["n_captions"]) for record in records}
    main = {who: main_tables(of(long, who), who, sizes[who], cutoffs=CUTOFFS) for who in encoder_pairs(long)}
    full = {who: full_tables(of(long, who), changes, who, sizes[who]) for who in main}
    against = [
        table
        for unpaired in settings(rivals)
        for table in reference_tables(
            in_setting(rivals, unpaired),
            "pairs",
            f"mean R@1 of both directions, by number of pairs{in_words(unpaired)}",
            unpaired,
        )
    ]
    elsewhere = published(references, list(dict.fromkeys(record["dataset"] for record in records)))
    document = ["# Image-text retrieval\n"]
    for who in main:
        document += [f"## {who[0]}, {who[1]} and {who[2]}\n", *map(markdown, main[who])]
        document += ["### In full\n", *map(markdown, full[who])]
    for heading, some in (("## Against ngw\n", against), ("## Published elsewhere\n", elsewhere)):
        document += [heading, *map(markdown, some)] if some else []
    return {
        "retrieval.csv": to_csv(long),
        "retrieval.md": "\n".join(document),
        "retrieval.tex": "\n".join(map(tex, [*chain(*(main[who] + full[who] for who in main)), *against, *elsewhere])),
        "retrieval.txt": "\n".join(map(plain, chain(*main.values()))),
        "retrieval-differences.csv": to_csv(changes),
        "retrieval-against-ngw.csv": to_csv(rivals),
        **efficiency.build(records),
    }


def samples(records: Sequence[Record], ranks: Mapping[Cell, Predictions], draws: int = DRAWS) -> Samples:
    """Every metric on bootstrap samples of the images."""
    return statistics.samples(records, ranks, "ranks", draws, _metrics)


def _metrics(record: Record, ranks: Predictions, place: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """A run's metrics on every sample; its ranks must be valid and agree with its record."""
    who = name(cell(record))
    direction, rank = (np.asarray(ranks[column]) for column in ("direction", "rank"))
    if not (np.isfinite(rank).all() and (rank >= 1).all()):
        raise InputError(f"{who}: expected finite ranks of 1 or more, found {rank.min()}; run its job again.")
    i2t, t2i = (Queries(rank[direction == way].astype(float), place[direction == way]) for way in DIRECTIONS)
    expected, found = (record["n_images"], record["n_captions"]), (len(i2t.ranks), len(t2i.ranks))
    if expected != found:
        raise InputError(
            f"{who}: the record counts {expected} images and captions, its ranks {found}; run its job again."
        )
    check_agreement(record, summary(i2t.ranks, t2i.ranks), "ranks")
    return bootstrap(i2t, t2i, counts)


def rows(records: Sequence[Record], sampled: Samples) -> pd.DataFrame:
    """Rows of the retrieval table; means over folds (large test sets only) have the range over seeds as interval."""
    metrics = (*METRICS, *FOLDED)
    return over_seeds(records, lambda run: {m: run["metrics"].get(m) for m in metrics}, intervals(sampled))


def main_tables(
    here: pd.DataFrame, who: Pair, size: tuple[int, int], folds: bool = False, cutoffs: Sequence[int] = (1,)
) -> list[Table]:
    """R@K of one encoder pair on one data set, one table per setting and cutoff."""
    return [
        _main_table(in_setting(here, unpaired), who, size, unpaired, k, folds)
        for unpaired in settings(here)
        for k in cutoffs
    ]


def full_tables(here: pd.DataFrame, changes: pd.DataFrame, who: Pair, size: tuple[int, int]) -> list[Table]:
    """The other tables: means over folds, all metrics per budget and setting, the comparison with the best baseline."""
    folds = main_tables(here, who, size, folds=True)
    methods = here[here["role"] != "control"]
    at = [(pairs, s) for pairs in budgets(methods["pairs"]) for s in settings(here[here["pairs"] == pairs])]
    beside = changes.assign(pairs=changes["pairs"] + changes["unpaired"].map(lambda s: f", {s}" * (s != NONE)))
    return [
        *(table for table in folds if table.lines),
        *(budget_table(in_setting(here, unpaired), who, size, pairs, unpaired) for pairs, unpaired in at),
        *difference_tables(beside, who, "pairs", "mean R@1 of both directions", "differences"),
    ]


def _main_table(here: pd.DataFrame, who: Pair, size: tuple[int, int], unpaired: str, k: int, folds: bool) -> Table:
    """R@K both ways: one line per method, one column per budget. size: test images and captions, which R@K depends on.

    folds: the mean over folds of 1,000 images instead; a test set that is too small for them gives no line.
    """
    metrics = [f"{way}_recall_{k}{'_1k' * folds}" for way in DIRECTIONS]
    here = here[here["metric"].isin(metrics)]
    columns, kind = budgets(here["pairs"]), f"1k, the mean of {FOLDS} folds of {FOLD:,} images, " * folds
    budget = f"by number of pairs{in_words(unpaired)}"
    return metric_table(
        here,
        [[(pairs, metric) for metric in metrics] for pairs in columns],
        title=f"R@{k} in per cent, {kind}image to text / text to image, {budget}: {where(who, size)}",
        slug=["retrieval", *who, unpaired, *[f"r{k}"] * (k > 1), *["1k"] * folds],
        corner="pairs",
        header=columns,
        # At R@1 chance is the same both ways: 5 of 5,000 captions or 1 of 1,000 images.  Folds have no interval.
        chance=significant(1 / size[0]) if k == 1 and not folds else None,
        notes=[f"Unpaired rows {unpaired}: {SETTINGS[unpaired]}.", *[_FURTHER] * (k > 1)],
    )


def budget_table(here: pd.DataFrame, who: Pair, size: tuple[int, int], pairs: str, unpaired: str) -> Table:
    """All retrieval metrics at one budget; controls that don't depend on the budget are in every such table."""
    return metric_table(
        at_budget(here, pairs),
        [[(pairs, f"{way}_{suffix}")] for way in DIRECTIONS for suffix in SHOWN],
        title=f"Retrieval with {count(pairs)}{in_words(unpaired)} (in per cent, except the rank): {where(who, size)}",
        slug=["retrieval", *who, pairs, unpaired],
        header=[f"{way} {heading}" for way in DIRECTIONS for heading in headings(SHOWN)],
        notes=[*(f"{way}: {words}." for way, words in DIRECTIONS.items()), _FOSCTTM],
    )


def published(references: Sequence[Mapping[str, Any]], datasets: Sequence[str]) -> list[Table]:
    """Published numbers, one table for each data set that has some; numbers on other data sets are left out.

    references: entries {model, dataset, i2t, t2i, source}, R@1 in per cent.
    """
    lines: dict[str, list[Line]] = {dataset: [] for dataset in datasets}
    for entry in references:
        numbers = [Number(tenths(entry[way])) for way in DIRECTIONS]
        lines.setdefault(entry["dataset"], []).append(Line(f"{entry['model']} ({entry['source']})", [numbers]))
    title = "Published R@1 in per cent, image to text / text to image"
    return [
        Table(f"{title}: {dataset}", f"published-{dataset}", "model (source)", ["R@1"], lines[dataset], [_PUBLISHED])
        for dataset in datasets
        if lines[dataset]
    ]
