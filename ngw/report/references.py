"""Published numbers beside ours: tables of their own, each number with its source, and no claim to be computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ngw.report.tables import Line, Number, Table

_LEGEND = "Taken from the sources, not computed here; data, encoders and splits are theirs."


def tables(references: Sequence[Mapping[str, Any]], datasets: Sequence[str]) -> list[Table]:
    """A table for each data set that has some; what is of other data sets is left out.

    references: entries {model, dataset, i2t, t2i, source}, R@1 in per cent.
    """
    found = []
    for dataset in datasets:
        here = [entry for entry in references if entry["dataset"] == dataset]
        lines = []
        for entry in here:
            numbers = [Number(f"{entry[way]:.1f}") for way in ("i2t", "t2i")]
            lines.append(Line(f"{entry['model']} ({entry['source']})", [numbers]))
        if lines:
            found.append(
                Table(
                    title=f"Published R@1 in per cent, image to text / text to image: {dataset}",
                    slug=f"published-{dataset}",
                    corner="model (source)",
                    header=["R@1"],
                    lines=lines,
                    legend=[_LEGEND],
                )
            )
    return found
