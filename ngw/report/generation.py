"""The generation table (captions of images, images of captions, by each method's maps) and the sheet of captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ngw.errors import InputError
from ngw.metrics.text import METRICS, bleu
from ngw.report import imaging, style
from ngw.report.collate import DRAWS, Row, by_seeds, seeds_row, to_csv
from ngw.report.records import Cell, Record, cell, check, name, pair
from ngw.report.render import markdown, plain, tex
from ngw.report.statistics import interval, resample
from ngw.report.tables import (
    Pair,
    Table,
    at_budget,
    count,
    encoder_pairs,
    headings,
    legend_of,
    lines_of,
    of,
    taught,
    where,
)  # fmt: skip
from ngw.seeds import rng

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = ("bleu_4", "meteor", "rouge_l", "cider", "nearest_meteor", "nearest_cider")
DECODERS = ("", "nearest_")  # the captioner, and the nearest training caption
_LEGEND = (
    "In per cent, against all references, by the official COCO caption evaluation (PTB tokenizer, METEOR 1.5).",
    "The captioner learned from captions alone; it reads T_AB of each image. nearest: the training caption that the"
    " method's own score finds nearest. true-latents: the captioner on the text latent of the image's first caption,"
    " which is one of the references: what the decoder could reach."
    " A joint model's latents come from its own space by a ridge regression among texts.",
)

Scores = Mapping[str, Sequence]  # predictions/captioning.parquet of one run


def build(
    records: Sequence[Record], tables: Mapping[Cell, Scores], expected: Sequence[Cell], draws: int = DRAWS,
    pictures: Sequence[Record] = (), judged: Mapping[Cell, imaging.Pairs] | None = None,
) -> dict[str, str]:  # fmt: skip
    """The files of `results/tables` by name, as text; a missing, doubled or extra record is an `InputError`.

    records: metrics/captioning.json of every run, in the table's order.  tables: each record's scores, by its `cell`.
    pictures, judged: likewise of metrics/imaging.json, where there is that part.
    """
    check(records, expected, ("n_images",))
    drawn = imaging.rows(pictures, judged or {}, expected, draws) if pictures else []
    found = rows(records, tables, draws)
    sizes = {pair(record): record["n_images"] for record in records}
    laid = [
        budget_table(found, who, sizes[who], pairs) for who in encoder_pairs(found) for pairs in taught(of(found, who))
    ]
    first = {pair(record): record for record in reversed(pictures)}
    seen = [
        imaging.budget_table(drawn, first[who], who, pairs)
        for who in encoder_pairs(drawn)
        for pairs in taught(of(drawn, who))
    ]
    own = [row for who in encoder_pairs(drawn) for row in imaging.named(of(drawn, who), first[who]["names"])]
    both = [*laid, *seen]
    return {
        "generation.csv": to_csv([*found, *own]),
        "generation.md": "\n".join(["# Generation: captions of images, images of captions\n", *map(markdown, both)]),
        "generation.tex": "\n".join(map(tex, both)),
        "generation.txt": "\n".join(map(plain, [*laid[:1], *seen[:1]])),
    }


def rows(records: Sequence[Record], tables: Mapping[Cell, Scores], draws: int) -> list[Row]:
    """Rows of the table, `collate.COLUMNS`; intervals are a bootstrap by image, of BLEU by its sums over the sample."""
    found, samples = [], {}
    for record in records:
        samples[cell(record)] = _samples(record, tables[cell(record)], draws)
    for runs in by_seeds(records):
        for metric in (prefix + metric for prefix in DECODERS for metric in METRICS):
            low, high = interval([samples[cell(run)][metric] for run in runs])
            values = [run["metrics"][metric] for run in runs]
            found.append(seeds_row(runs, metric, values, float(low), float(high)))
    return found


def _samples(record: Record, table: Scores, draws: int) -> dict[str, np.ndarray]:
    """Every metric on every bootstrap sample of the images, [draws]."""
    who, images = name(cell(record)), np.asarray(table["image_id"])
    if len(images) != record["n_images"]:
        raise InputError(f"{who}: the record counts {record['n_images']} images, its scores {len(images)}; rerun it.")
    counts = resample(len(images), draws, rng(0, "bootstrap", record["dataset"]))[:, np.argsort(np.argsort(images))]
    found: dict[str, np.ndarray] = {}
    for prefix in DECODERS:
        found |= {prefix + f"bleu_{n}": values for n, values in enumerate(_bleu(table, prefix, counts).T, 1)}
        for metric in METRICS[4:]:
            values = np.asarray(table[prefix + metric], float)
            found[prefix + metric] = counts @ values / len(images)
        _check_agreement(record, table, prefix, who)
    return found


def _bleu(table: Scores, prefix: str, counts: np.ndarray) -> np.ndarray:
    """BLEU-1 to 4 of each sample, [draws, 4]."""
    return bleu(counts @ np.asarray(table[prefix + "bleu"], float))


def _check_agreement(record: Record, table: Scores, prefix: str, who: str) -> None:
    """The record's metrics are those of its scores; METEOR's corpus value isn't a mean, so it is left out."""
    whole = _bleu(table, prefix, np.ones((1, record["n_images"])))[0]
    given = {f"bleu_{n}": value for n, value in enumerate(whole, 1)}
    given |= {metric: float(np.mean(table[prefix + metric])) for metric in ("rouge_l", "cider")}
    for metric, value in given.items():
        told = record["metrics"].get(prefix + metric)
        if told is None or not np.isclose(told, value, rtol=1e-6, atol=1e-9):
            raise InputError(f"{who}: the record's {prefix + metric} is {told}, its scores give {value}; rerun it.")


def budget_table(found: Sequence[Row], who: Pair, images: int, pairs: str) -> Table:
    """Captions at one pair budget, controls that don't depend on it below."""
    chosen = at_budget(of(found, who), pairs, unpaired=True)
    lines = lines_of(chosen, [[(pairs, metric)] for metric in SHOWN])
    return Table(
        title=f"Captions with {count(pairs)}: {where(who)} ({images:,} test images)",
        slug="-".join(["captions", *who, pairs]),
        corner="method",
        header=headings(SHOWN),
        lines=lines,
        legend=[*_LEGEND, *legend_of(lines)],
    )


class Captioned(NamedTuple):
    """An image as `style.picture` takes it, a reference, and what was said of it: {method: caption}."""

    image: Any
    reference: str
    captions: Mapping[str, str]


def sheet(items: Sequence[Captioned]) -> Figure:
    """The sheet of captions: a picture a line, beside it the reference and each method's caption."""
    with style.paper():
        lines = max((len(item.captions) for item in items), default=0) + 1
        figure, panels = style.new(len(items), 2, 7.0, len(items) * max(1.2, 0.17 * lines), width_ratios=[1, 4])
        for (picture, words), item in zip(panels, items, strict=True):
            picture.set_axis_off()
            style.picture(picture, item.image)
            _words(words, item)
    return figure


def _words(axes: Axes, item: Captioned) -> None:
    """The captions of one image."""
    axes.set_axis_off()
    said = {"reference": item.reference, **item.captions}
    for k, (method, caption) in enumerate(said.items()):
        y, colour = 1 - k / max(len(said), 1), style.GREY if method == "reference" else style.INK
        axes.text(0, y, style.fold(method, 22), transform=axes.transAxes, va="top", fontsize=6.5, color=style.GREY)
        words = style.fold(caption or "(nothing)", 92)
        axes.text(0.24, y, words, transform=axes.transAxes, va="top", fontsize=6.5, color=colour)
