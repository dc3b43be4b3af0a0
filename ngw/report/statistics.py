"""Uncertainty of a table's numbers: a bootstrap clustered by image, and paired comparisons of runs.

An image is drawn together with all its captions (five captions of one image are not five independent queries). All
methods and seeds of one data set share the same draws, so that differences between methods are paired. An interval is
about the test set: it is the 2.5 to 97.5 percentile of the mean over the seeds at hand; the spread over seeds is `std`.
Two methods are compared at the seeds that both have, since a seed draws the pairs: they too are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from ngw.errors import InputError
from ngw.metrics.retrieval import CUTOFFS, foscttm, summary
from ngw.report.frames import PAIR, by_setting, keys_of, rounded
from ngw.report.records import Cell, Record, by_seeds, cell, name
from ngw.seeds import rng

METRICS = tuple(summary(np.ones(1), np.ones(1)))
LEVEL = 0.95
DRAWS = 1000
POWER = 1.96 + 0.84  # standard errors: two-sided 5 %, 80 % power (Cohen 1988)

Predictions = Mapping[str, Sequence]  # of one run, by column; `image_id` is one of them


class Sample(NamedTuple):
    """A metric of each seed, on the test set and on every bootstrap sample."""

    seeds: Sequence[int]
    values: np.ndarray  # [seeds]
    by_seed: np.ndarray  # [seeds, draws]

    @property
    def mean(self) -> float:
        """The mean over seeds, on the test set."""
        return float(np.mean(self.values))

    @property
    def draws(self) -> np.ndarray:
        """The mean over seeds, on every bootstrap sample: [draws]."""
        return np.mean(self.by_seed, axis=0)

    def at(self, seeds: Collection[int]) -> Sample:
        """The sample of these seeds alone; of all where none is among its own."""
        kept = [place for place, seed in enumerate(self.seeds) if seed in seeds]
        return Sample([self.seeds[k] for k in kept], self.values[kept], self.by_seed[kept]) if kept else self


Samples = Mapping[tuple, Sample]  # by (*identity, metric)


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


def samples(
    records: Sequence[Record], predictions: Mapping[Cell, Predictions], kind: str, draws: int,
    metrics_of: Callable[[Record, Predictions, np.ndarray, np.ndarray], Mapping[str, np.ndarray]],
) -> Samples:  # fmt: skip
    """Metrics on bootstrap samples of the images; all runs of a data set share its images and the draws.

    kind: the predictions' name in messages.  metrics_of: the metrics {name: [draws]} of a record, its
    predictions, the place of each of their rows among the sorted images, and counts [draws, n_images].
    """
    images: dict[str, np.ndarray] = {}
    sampled = {}
    for runs in by_seeds(records):
        seeds = []
        for run in runs:
            if cell(run) not in predictions:
                raise InputError(f"table: {name(cell(run))} has a record but no {kind}; run its job again.")
            table = predictions[cell(run)]
            own = images.setdefault(run["dataset"], np.unique(table["image_id"]))
            place = _places(run, np.asarray(table["image_id"]), own)
            seeds.append(metrics_of(run, table, place, counts_of(run["dataset"], len(own), draws)))
        for metric in seeds[0]:
            values = np.array([run["metrics"][metric] for run in runs])
            by_seed = np.array([seed[metric] for seed in seeds])
            sampled[*cell(runs[0])[:-1], metric] = Sample([run["seed"] for run in runs], values, by_seed)
    return sampled


def _places(record: Record, image_id: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The position of each image among the sorted images of its data set."""
    place = np.searchsorted(images, image_id).clip(max=len(images) - 1)
    strange = image_id[images[place] != image_id]
    if strange.size:
        raise InputError(
            f"{name(cell(record))}: image {strange[0]} isn't in the other runs of this data set; run its job again."
        )
    return place


def bootstrap(i2t: Queries, t2i: Queries, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric of `METRICS` on every bootstrap sample, [draws]; counts [draws, n_images] are `resample`'s."""
    columns: dict[str, np.ndarray] = {}
    for direction, queries, candidates in (("i2t", i2t, len(t2i.ranks)), ("t2i", t2i, len(i2t.ranks))):
        hits = [queries.ranks <= k for k in CUTOFFS]
        means = weighted_means(np.stack([*hits, 1 / queries.ranks, queries.ranks], axis=1), queries.image, counts)
        metrics = [*(f"{direction}_recall_{k}" for k in CUTOFFS), f"{direction}_mrr", f"{direction}_foscttm"]
        columns |= dict(zip(metrics, means.T, strict=True))
        columns[f"{direction}_foscttm"] = np.asarray(foscttm(columns[f"{direction}_foscttm"], candidates))
        columns[f"{direction}_median_rank"] = weighted_medians(queries.ranks, queries.image, counts)
    columns["mean_recall_1"] = (columns["i2t_recall_1"] + columns["t2i_recall_1"]) / 2
    return columns


def weighted_means(values: np.ndarray, image: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means over the queries of each sample: values [n_queries, k], counts [draws, n_images] -> [draws, k]."""
    n = counts.shape[1]
    sums = np.stack([np.bincount(image, column, minlength=n) for column in values.T], axis=1)  # [n_images, k]
    sizes = np.bincount(image, minlength=n)
    return (counts @ sums) / (counts @ sizes)[:, None]


def weighted_medians(values: np.ndarray, image: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Medians over the queries of each sample: values [n_queries], counts [draws, n_images] -> [draws]."""
    order = np.argsort(values, kind="stable")
    values, image = values[order], image[order]
    medians = np.empty(len(counts))
    for draw, count in enumerate(counts):
        reached = np.cumsum(count[image])
        middle = (reached[-1] + np.array([1, 2])) // 2  # places from 1, one and the same where the total is odd
        medians[draw] = values[np.searchsorted(reached, middle)].mean()
    return medians


def interval(draws: np.ndarray) -> tuple[float, float]:
    """Percentile interval of a metric's samples [draws]."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def intervals(sampled: Samples) -> dict[tuple, tuple[float, float]]:
    """The interval of every sampled metric: {(*identity, metric): (low, high)}."""
    return {key: interval(sample.draws) for key, sample in sampled.items()}


class Difference(NamedTuple):
    """A paired comparison of two methods on one metric: estimate, percentile interval, two-sided p-value.

    error: the bootstrap's standard error.  n_seeds: the seeds that both methods have.
    """

    difference: float
    low: float
    high: float
    p: float
    error: float
    n_seeds: int


def paired_difference(first: Sample, second: Sample) -> Difference:
    """Paired bootstrap of first - second, whose draws are of the same `counts`, at the seeds that both have.

    Methods that share no seed are compared at all of theirs.
    p is twice the share of samples on the other side of zero (a sample at zero counts on both sides), with one added
    to count and total, so that it is never smaller than the number of draws can show (Davison and Hinkley, Bootstrap
    Methods and their Application, 1997, section 4.2).
    """
    shared = set(first.seeds) & set(second.seeds)
    first, second = first.at(shared), second.at(shared)
    draws = first.draws - second.draws
    tail = min((draws <= 0).sum(), (draws >= 0).sum()) + 1
    p = float(min(1, 2 * tail / (len(draws) + 1)))
    error = float(np.std(draws, ddof=1))
    return Difference(first.mean - second.mean, *interval(draws), p, error, len(shared))


def with_samples(rows: pd.DataFrame, sampled: Samples) -> pd.DataFrame:
    """Rows with the `Sample` of each beside it."""
    keys = rows[keys_of(rows)].itertuples(index=False, name=None)
    return rows.assign(sample=pd.Series([sampled[key] for key in keys], rows.index, object))


def best_baseline_differences(rows: pd.DataFrame, metric: str, sampled: Samples) -> pd.DataFrame:
    """Each method against the best baseline of its place, the one with the highest mean."""
    here, place = _comparable(rows, metric, sampled), _place(rows)
    means = here["sample"].map(lambda sample: sample.mean)
    baselines = here[here["role"] == "baseline"].assign(mean=means)
    best = baselines.sort_values("mean", ascending=False, kind="stable").drop_duplicates(place)
    return _compared(here[here["role"] == "method"], best, "baseline", [])


def reference_differences(rows: pd.DataFrame, metric: str, reference: str, sampled: Samples) -> pd.DataFrame:
    """Each row except controls minus the reference of its place; no row where the table lacks the reference.

    p_holm: corrected for the rows of a place.  detectable: the smallest difference that 80 % of such test sets would
    show.
    """
    here = _comparable(rows, metric, sampled)
    here = here[here["role"] != "control"]
    own = here["method"] == reference
    return _compared(here[~own], here[own], "reference", ["p_holm", "detectable"])


def _comparable(rows: pd.DataFrame, metric: str, sampled: Samples) -> pd.DataFrame:
    """The rows of a metric with their samples, at each place where they are compared."""
    here = with_samples(rows[rows["metric"] == metric], sampled)
    return here if "labels" in rows else by_setting(here)


def _place(rows: pd.DataFrame) -> list[str]:
    """What two methods must have in common to be compared: as many labels where the task has them, else the clouds."""
    return [*PAIR, *(["labels"] if "labels" in rows else ["pairs", "unpaired"])]


def _compared(rows: pd.DataFrame, others: pd.DataFrame, role: str, further: Sequence[str]) -> pd.DataFrame:
    """Rows against the one of `others` at their place.  role: the column that names it; further: more columns."""
    place = _place(rows)
    of_rival = {"method": role, "sample": "rival", "converged": "settled"}
    rivals = others[[*place, *of_rival]].rename(columns=of_rival)
    both = rows.drop(columns=["low", "high", "n_seeds"]).merge(rivals, on=place)
    changes = pd.DataFrame(map(paired_difference, both["sample"], both["rival"]), columns=Difference._fields)
    changes["detectable"] = POWER * changes["error"]
    changes = rounded(changes, ["difference", "low", "high", "p", "detectable"])
    both = both.join(changes)
    both["p_holm"] = both.groupby(place)["p"].transform(holm)
    both["converged"] &= both["settled"]
    who = [key for key in keys_of(rows) if key != "metric"]
    numbers = ["difference", "low", "high", "p", *further]
    return rounded(both, ["p_holm"])[[*who, role, "metric", *numbers, "n_seeds", "converged"]]


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction (1979): the k-th smallest of m, times m - k + 1, never below the one before it."""
    values, m = np.asarray(p, float), len(p)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * (m - np.arange(m)))
    corrected = np.empty(m)
    corrected[order] = np.minimum(steps, 1)
    return corrected
