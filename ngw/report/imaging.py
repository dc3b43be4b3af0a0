"""Generated pictures: their rows of the generation table, and the contact sheet (text, each method's picture, real)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ngw.errors import InputError
from ngw.metrics.image import with_scores
from ngw.report import style
from ngw.report.collate import Row, by_seeds, seeds_row
from ngw.report.records import Cell, Record, cell, check, name
from ngw.report.statistics import interval, resample
from ngw.report.tables import Pair, Table, at_budget, count, headings, legend_of, lines_of, of, where
from ngw.seeds import rng

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("fd", "kd", "score", "cosine", "nearest_score", "nearest_cosine")
COSINES = ("cosine", "nearest_cosine", "real_cosine")  # of each picture and its caption; each name has a score too
_TWO_SIDED = 1.96

Pairs = Mapping[str, Sequence]  # predictions/imaging.parquet of one run


def rows(records: Sequence[Record], tables: Mapping[Cell, Pairs], expected: Iterable[Cell], draws: int) -> list[Row]:
    """Rows of every metric, `collate.COLUMNS`, metrics by the short names of `SHOWN`; `named` gives them their own.

    Intervals: of cosines and scores a bootstrap by image; of distances 1.96 of the jackknife's standard errors.
    """
    check(records, expected, ("n_images",))
    found = []
    for runs in by_seeds(records):
        samples = [_samples(run, tables[cell(run)], draws) for run in runs]
        for metric in (*SHOWN, "real_score", "real_cosine"):
            values = [run["metrics"][metric] for run in runs]
            if metric in samples[0]:
                low, high = interval([sample[metric] for sample in samples])
            else:
                error = np.sqrt(np.sum([run["metrics"][f"{metric}_error"] ** 2 for run in runs])) / len(runs)
                low, high = np.mean(values) - _TWO_SIDED * error, np.mean(values) + _TWO_SIDED * error
            found.append(seeds_row(runs, metric, values, float(low), float(high)))
    return found


def _samples(record: Record, table: Pairs, draws: int) -> dict[str, np.ndarray]:
    """The mean cosines, and the scores that they make, on every bootstrap sample of the images, [draws]."""
    pairs = {metric: np.asarray(table[metric], float) for metric in COSINES}
    size = len(pairs["cosine"])
    for metric, value in with_scores({metric: values.mean() for metric, values in pairs.items()}).items():
        given = record["metrics"][metric]
        if size != record["n_images"] or not np.isclose(value, given, rtol=1e-6):
            raise InputError(
                f"{name(cell(record))}: the record's {metric} is {given} of {record['n_images']} images, its cosines "
                f"give {value} of {size}; rerun it."
            )
    counts = resample(size, draws, rng(0, "bootstrap", record["dataset"]))
    return with_scores({metric: counts @ values / size for metric, values in pairs.items()})


def named(found: Sequence[Row], names: Mapping[str, str]) -> list[Row]:
    """The rows under the metrics' own names, which say who judged."""
    return [row | {"metric": names[row["metric"]]} for row in found]


def budget_table(found: Sequence[Row], record: Record, who: Pair, pairs: str) -> Table:
    """Pictures at one pair budget; record: one of the table's, which names the judges and what real images reach."""
    chosen, names = at_budget(of(found, who), pairs, unpaired=True), record["names"]
    lines = lines_of(chosen, [[(pairs, metric)] for metric in SHOWN])
    return Table(
        title=f"Images from captions with {count(pairs)}: {where(who)} ({record['n_images']:,} test images)",
        slug="-".join(["images", *who, pairs]),
        corner="method",
        header=headings(SHOWN),
        lines=lines,
        legend=[
            f"distance: Frechet, {names['fd']}; kernel distance: {names['kd']}, times 100; less is better."
            f" score: {names['score']}, 100 max(c, 0) of the mean cosine c of picture and caption; of real images it is"
            f" {record['metrics']['real_score']:.1f}. cosine: that mean, {names['cosine']}, times 100. nearest: of the"
            " training image that the method's own score finds nearest to the caption. Distances depend on how many"
            " images there are.",
            "The image decoder knows images alone; it reads T_BA of each caption. true-latents: the decoder on the"
            " latent of the caption's own image, which holds more than the caption says.",
            *legend_of(lines),
        ],
    )


class Drawn(NamedTuple):
    """A caption, its real image, and each method's picture of it: {method: picture}."""

    caption: str
    real: Any
    pictures: Mapping[str, Any]


def sheet(items: Sequence[Drawn]) -> Figure:
    """The contact sheet: a caption a line, its real image, and what each method's maps make of the caption."""
    with style.paper():
        methods = list(items[0].pictures) if items else []
        figure, panels = style.new(
            len(items), 2 + len(methods), 0.72 * (2 + len(methods)) + 1.2, 0.78 * len(items) + 0.2,
            width_ratios=[2.6] + [1] * (1 + len(methods)),
        )  # fmt: skip
        for k, (line, item) in enumerate(zip(panels, items, strict=True)):
            line[0].text(0, 0.5, style.fold(item.caption, 30, 5), transform=line[0].transAxes, va="center", fontsize=6)
            for axes, title, picture in zip(
                line[1:], ["real", *methods], [item.real, *item.pictures.values()], strict=True
            ):
                style.picture(axes, picture, interpolation="bicubic")
                if k == 0:
                    axes.set_title(style.fold(title, 13, 3), fontsize=6)
            for axes in line:
                axes.set_axis_off()
    return figure
