"""The generation tables: captions of images and pictures of captions, by each method's maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from ngw.errors import InputError
from ngw.metrics.image import with_scores
from ngw.metrics.text import METRICS, bleu
from ngw.report.frames import at, at_budget, encoder_pairs, of, over_seeds, taught, to_csv
from ngw.report.layout import Table, headings, metric_table, where
from ngw.report.records import Cell, Record, by_seeds, cell, check, check_agreement, name, pair
from ngw.report.render import files, plain
from ngw.report.statistics import DRAWS, Predictions, intervals, samples

CAPTIONS = ("bleu_4", "meteor", "rouge_l", "cider", "nearest_meteor", "nearest_cider")
DECODERS = ("", "nearest_")  # the captioner, and the nearest training caption
IMAGES = ("fd", "kd", "score", "cosine", "nearest_score", "nearest_cosine")
COSINES = ("cosine", "nearest_cosine", "real_cosine")  # of each picture and its caption; each name has a score too
_TWO_SIDED = 1.96
_CAPTIONS_LEGEND = (
    "In per cent, against all references, by the official COCO caption evaluation (PTB tokenizer, METEOR 1.5).",
    "The captioner is trained on captions alone and reads T_AB of each image. nearest: the training caption that"
    " the method scores highest. true-latents: the captioner reads the text latent of the image's first caption,"
    " one of the references; this is the decoder's ceiling."
    " A joint model's latents come from its own space, by ridge regression on texts.",
)


def build(
    records: Sequence[Record], scores: Mapping[Cell, Predictions], expected: Sequence[Cell], draws: int = DRAWS,
    pictures: Sequence[Record] = (), judged: Mapping[Cell, Predictions] | None = None,
) -> dict[str, str]:  # fmt: skip
    """The files of `results/tables` by name, as text; a missing, doubled or extra record is an `InputError`.

    records: metrics/captioning.json of every run, in the table's order.  scores: each record's, by its `cell`.
    pictures, judged: the same for metrics/imaging.json, where images are generated.
    """
    check(records, expected, ("n_images",))
    captions = caption_rows(records, scores, draws)
    parts, long = [_tables(captions, records, "Captions", "captions", CAPTIONS, lambda _: _CAPTIONS_LEGEND)], [captions]
    if pictures:
        images = image_rows(pictures, judged or {}, expected, draws)
        parts.append(_tables(images, pictures, "Pictures of captions", "images", IMAGES, _images_legend))
        names = {pair(record): record["names"] for record in reversed(pictures)}
        for who in encoder_pairs(images):
            long.append(of(images, who).assign(metric=lambda rows, own=names[who]: rows["metric"].map(own)))
    return {
        "generation.csv": to_csv(pd.concat(long)),
        **files("generation", "Generation: captions of images, pictures of captions", list(chain(*parts))),
        "generation.txt": "\n".join(plain(table) for part in parts for table in part[:1]),
    }


def _tables(
    rows: pd.DataFrame, records: Sequence[Record], title: str, slug: str, metrics: Sequence[str],
    notes: Callable[[Record], Sequence[str]],
) -> list[Table]:  # fmt: skip
    """A table for each pair of encoders and each budget, with notes on the first record of that pair."""
    first = {pair(record): record for record in reversed(records)}
    own = {who: of(rows, who) for who in encoder_pairs(rows)}
    return [
        metric_table(
            at_budget(here, pairs, untaught=True),
            [[(pairs, metric)] for metric in metrics],
            title=f"{title} with {at(here, pairs)}: {where(who)} ({first[who]['n_images']:,} test images)",
            slug=[slug, *who, pairs],
            header=headings(metrics),
            notes=notes(first[who]),
        )
        for who, here in own.items()
        for pairs in taught(here)
    ]


def _images_legend(record: Record) -> list[str]:
    """Notes on the image metrics; the record names the judging networks and the score of real images."""
    names = record["names"]
    return [
        f"distance: Frechet, {names['fd']}; kernel distance: {names['kd']}, times 100; lower is better."
        f" score: {names['score']}, 100 max(c, 0) for the mean cosine c of picture and caption; real images reach"
        f" {record['metrics']['real_score']:.1f}. cosine: c itself, {names['cosine']}, times 100. nearest: for the"
        " training image that the method scores highest for the caption. Distances depend on the number of pictures.",
        "The image decoder is trained on images alone and reads T_BA of each caption. true-latents: the decoder reads"
        " the latent of the caption's own image, which holds more than the caption says.",
    ]


def caption_rows(records: Sequence[Record], scores: Mapping[Cell, Predictions], draws: int) -> pd.DataFrame:
    """Rows of the captions; intervals by a bootstrap over images, for BLEU from its sums over the sample.

    METEOR of the corpus isn't a mean over captions, nor are its sums at hand: it has no interval.
    """
    spans = intervals(samples(records, scores, "scores", draws, _caption_metrics))
    metrics = [prefix + metric for prefix in DECODERS for metric in METRICS]
    return over_seeds(records, lambda run: {m: run["metrics"][m] for m in metrics}, spans)


def _caption_metrics(record: Record, scores: Predictions, place: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
    """Every metric except METEOR on every sample."""
    if len(place) != record["n_images"]:
        sizes = f"the record counts {record['n_images']} images, its scores {len(place)}"
        raise InputError(f"{name(cell(record))}: {sizes}; rerun it.")
    sampled: dict[str, np.ndarray] = {}
    values: dict[str, float] = {}
    for prefix in DECODERS:
        sums = np.asarray(scores[prefix + "bleu"], float)
        names = [f"{prefix}bleu_{n}" for n in range(1, 5)]
        sampled |= dict(zip(names, bleu(counts[:, place] @ sums).T, strict=True))
        values |= dict(zip(names, bleu(sums.sum(axis=0)), strict=True))
        for metric in ("rouge_l", "cider"):
            own = np.asarray(scores[prefix + metric], float)
            sampled[prefix + metric] = counts[:, place] @ own / len(own)
            values[prefix + metric] = own.mean()
    check_agreement(record, values, "scores", remedy="rerun it", rtol=1e-6, atol=1e-9)
    return sampled


def image_rows(
    records: Sequence[Record], scores: Mapping[Cell, Predictions], expected: Iterable[Cell], draws: int
) -> pd.DataFrame:
    """Rows of the images; metrics have the short names of `IMAGES`, which each record maps to its judge's names.

    Intervals: a bootstrap over images for cosines and scores; 1.96 jackknife standard errors for distances,
    whose mean over seeds has the mean of their errors: all seeds see the same test images, so errors don't cancel.
    """
    check(records, expected, ("n_images",))
    spans = intervals(samples(records, scores, "scores", draws, _image_metrics))
    for runs in by_seeds(records):
        for metric in ("fd", "kd"):
            mean = np.mean([run["metrics"][metric] for run in runs])
            error = np.mean([run["metrics"][f"{metric}_error"] for run in runs])
            spans[*cell(runs[0])[:-1], metric] = mean - _TWO_SIDED * error, mean + _TWO_SIDED * error
    metrics = (*IMAGES, "real_score", "real_cosine")
    return over_seeds(records, lambda run: {metric: run["metrics"][metric] for metric in metrics}, spans)


def _image_metrics(record: Record, scores: Predictions, place: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
    """The mean cosines and their scores on every sample."""
    cosines = {metric: np.asarray(scores[metric], float) for metric in COSINES}
    for metric, value in with_scores({metric: values.mean() for metric, values in cosines.items()}).items():
        noted = record["metrics"][metric]
        if len(place) != record["n_images"] or not np.isclose(value, noted, rtol=1e-6):
            raise InputError(
                f"{name(cell(record))}: the record's {metric} is {noted} over {record['n_images']} images, its cosines "
                f"give {value} over {len(place)}; rerun it."
            )
    return with_scores({metric: counts[:, place] @ values / len(place) for metric, values in cosines.items()})
