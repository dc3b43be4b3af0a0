"""Uncertainty of a table's numbers: a bootstrap clustered by image, and paired comparisons of runs.

An image is drawn together with all its captions (five captions of one image are not five independent queries). All
methods and seeds of one data set share the same draws, so that differences between methods are paired. An interval is
about the test set: it is the 2.5 to 97.5 percentile of the mean over the seeds at hand; the spread over seeds is `std`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ngw.metrics.retrieval import CUTOFFS, foscttm, summary
from ngw.report.frames import rounded
from ngw.report.records import Cell, Record, by_seeds, cell, identity, pair, who_columns
from ngw.seeds import rng

METRICS = tuple(summary(np.ones(1), np.ones(1)))  # the names, in the order of the columns below
LEVEL = 0.95
DRAWS = 1000
POWER = 1.96 + 0.84  # standard errors: two-sided 5 %, 80 % power (Cohen 1988)

Samples = Mapping[Cell, Mapping[str, np.ndarray]]  # [draws] of each run and metric


class Queries(NamedTuple):
    """Ranks of one direction of one run and the image that each query belongs to."""

    ranks: np.ndarray  # float64 [n_queries], 1 is best
    image: np.ndarray  # int [n_queries], from 0 to n_images - 1


def resample(n_images: int, draws: int, generator: np.random.Generator) -> np.ndarray:
    """How often each image is in each bootstrap sample: float64 [draws, n_images], every row sums to n_images."""
    picks = generator.integers(n_images, size=(draws, n_images)) + np.arange(draws)[:, None] * n_images
    return np.bincount(picks.ravel(), minlength=draws * n_images).reshape(draws, n_images).astype(np.float64)


@lru_cache(maxsize=8)
def counts_of(dataset: str, n_images: int, draws: int) -> np.ndarray:
    """The samples of a data set's images, which all its runs share: [draws, n_images]."""
    return resample(n_images, draws, rng(0, "bootstrap", dataset))


def bootstrap(i2t: Queries, t2i: Queries, counts: np.ndarray) -> np.ndarray:
    """Every metric of `METRICS` on every bootstrap sample, float64 [draws, len(METRICS)].

    counts: [draws, n_images] from `resample`.
    """
    columns: dict[str, np.ndarray] = {}
    for direction, queries, candidates in (("i2t", i2t, len(t2i.ranks)), ("t2i", t2i, len(i2t.ranks))):
        hits = [queries.ranks <= k for k in CUTOFFS]
        means = weighted_means(np.stack([*hits, 1 / queries.ranks, queries.ranks], axis=1), queries.image, counts)
        names = [*(f"{direction}_recall_{k}" for k in CUTOFFS), f"{direction}_mrr", f"{direction}_foscttm"]
        columns |= dict(zip(names, means.T, strict=True))
        columns[f"{direction}_foscttm"] = np.asarray(foscttm(columns[f"{direction}_foscttm"], candidates))
        columns[f"{direction}_median_rank"] = weighted_medians(queries.ranks, queries.image, counts)
    columns["mean_recall_1"] = (columns["i2t_recall_1"] + columns["t2i_recall_1"]) / 2
    return np.stack([columns[name] for name in METRICS], axis=1)


def weighted_means(values: np.ndarray, image: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means over the queries of each sample: values [n_queries, k], counts [draws, n_images] -> [draws, k]."""
    n = counts.shape[1]
    sums = np.stack([np.bincount(image, column, minlength=n) for column in values.T], axis=1)  # [n_images, k]
    sizes = np.bincount(image, minlength=n)
    return (counts @ sums) / (counts @ sizes)[:, None]


def weighted_medians(values: np.ndarray, image: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Medians over the queries of each sample: values [n_queries], counts [draws, n_images] -> [draws].

    The samples' medians lie near the middle of the sorted values, so only a window of it is gathered; it is doubled
    until it holds all of them.
    """
    order = np.argsort(values, kind="stable")
    values, image = values[order], image[order]
    sizes = np.bincount(image, minlength=counts.shape[1])
    total = (counts @ sizes)[:, None]
    # The two middle places (one and the same where the total is odd), counted from 1.
    places = np.concatenate([np.floor((total + 1) / 2), np.floor(total / 2) + 1], axis=1)  # [draws, 2]
    half_width = int(2 * np.sqrt(len(values) * sizes.max())) + 1  # four standard deviations of cluster sampling
    while True:
        start, stop = max(0, len(values) // 2 - half_width), min(len(values), len(values) // 2 + half_width)
        before = counts @ np.bincount(image[:start], minlength=counts.shape[1])
        reached = np.cumsum(counts[:, image[start:stop]], axis=1) + before[:, None]  # [draws, window]
        inside = (start == 0 or (before < places[:, 0]).all()) and (reached[:, -1] >= places[:, 1]).all()
        if inside:
            first = [(reached < places[:, side, None]).sum(axis=1) for side in (0, 1)]
            return (values[start + first[0]] + values[start + first[1]]) / 2
        half_width *= 2


def interval(samples: Sequence[np.ndarray], level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of the mean over seeds: one [draws, k] array a seed -> (low [k], high [k])."""
    mean = np.mean(samples, axis=0)
    low, high = np.quantile(mean, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def intervals(records: Sequence[Record], samples: Samples) -> dict[tuple, tuple[float, float]]:
    """The interval of every metric that is sampled: {(*identity, metric): (low, high)}."""
    spans = {}
    for runs in by_seeds(records):
        for metric in samples[cell(runs[0])]:
            low, high = interval([samples[cell(run)][metric] for run in runs])
            spans[*cell(runs[0])[:-1], metric] = float(low), float(high)
    return spans


class Difference(NamedTuple):
    """A paired comparison of two methods on one metric: estimate, percentile interval, two-sided p-value.

    error: the bootstrap's standard error.
    """

    difference: float
    low: float
    high: float
    p: float
    error: float


def paired_difference(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], estimate: float, level: float = LEVEL
) -> Difference:
    """Paired bootstrap of first - second, where both hold one [draws] array a seed from the same `counts`.

    p is twice the share of samples on the other side of zero (a sample at zero counts on both sides), with one added
    to count and total, so that it is never smaller than the number of draws can show (Davison and Hinkley, Bootstrap
    Methods and their Application, 1997, section 4.2).
    """
    difference = np.mean(first, axis=0) - np.mean(second, axis=0)
    low, high = np.quantile(difference, [(1 - level) / 2, (1 + level) / 2])
    tail = min((difference <= 0).sum(), (difference >= 0).sum()) + 1
    p = float(min(1, 2 * tail / (len(difference) + 1)))
    return Difference(estimate, float(low), float(high), p, float(np.std(difference, ddof=1)))


def mean_of(runs: Sequence[Record], metric: str) -> float:
    """Mean of a metric over seeds."""
    return float(np.mean([run["metrics"][metric] for run in runs]))


def compare(runs: Sequence[Record], others: Sequence[Record], metric: str, samples: Samples) -> Difference:
    """Seeds of one method minus those of another one."""
    first, second = ([samples[cell(run)][metric] for run in side] for side in (runs, others))
    return paired_difference(first, second, mean_of(runs, metric) - mean_of(others, metric))


def place(runs: Sequence[Record]) -> tuple:
    """What two methods must have in common to be compared: as many labels where the task has them, else pairs."""
    return (*pair(runs[0]), runs[0].get("labels", runs[0]["pairs"]))


def best_baseline_differences(records: Sequence[Record], metric: str, samples: Samples) -> pd.DataFrame:
    """Each method against the best baseline of its place: the one with the highest mean, the hardest one to beat."""
    rows, groups = [], by_seeds(records)
    for runs in (runs for runs in groups if runs[0]["role"] == "method"):
        rivals = [others for others in groups if others[0]["role"] == "baseline" and place(others) == place(runs)]
        if rivals:
            best = max(rivals, key=lambda others: mean_of(others, metric))
            who = identity(runs[0]) | {"baseline": best[0]["method"], "metric": metric, "n_seeds": len(runs)}
            rows.append(who | compare(runs, best, metric, samples)._asdict())
    numbers = ["difference", "low", "high", "p"]
    columns = [*who_columns(records), "baseline", "metric", *numbers, "n_seeds"]
    return rounded(pd.DataFrame(rows, columns=columns), numbers)


def reference_differences(records: Sequence[Record], metric: str, reference: str, samples: Samples) -> pd.DataFrame:
    """Each row but controls minus a reference of its place; none where that one isn't in the table.

    p_holm: corrected for the rows of a place.  detectable: the smallest difference that would be seen in 80 % of such
    test sets.
    """
    groups = [runs for runs in by_seeds(records) if runs[0]["role"] != "control"]
    own = {place(runs): runs for runs in groups if runs[0]["method"] == reference}
    rivals = [runs for runs in groups if place(runs) in own and runs is not own[place(runs)]]
    rows: list[dict[str, Any]] = []
    for runs in rivals:
        change = compare(runs, own[place(runs)], metric, samples)
        who = identity(runs[0]) | {"reference": reference, "metric": metric, "n_seeds": len(runs)}
        rows.append(who | change._asdict() | {"detectable": POWER * change.error, "place": place(runs)})
    numbers = ["difference", "low", "high", "p", "p_holm", "detectable"]
    columns = [*who_columns(records), "reference", "metric", *numbers, "n_seeds", "place"]
    changes = rounded(pd.DataFrame(rows, columns=columns), ["difference", "low", "high", "p", "detectable"])
    changes["p_holm"] = changes.groupby("place")["p"].transform(holm)
    return rounded(changes.drop(columns="place"), ["p_holm"])


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction (1979): the k-th smallest of m, times m - k + 1, never below the one before it."""
    values, m = np.asarray(p, float), len(p)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * (m - np.arange(m)))
    corrected = np.empty(m)
    corrected[order] = np.minimum(steps, 1)
    return corrected
