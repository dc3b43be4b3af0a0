"""Figures of the pages: `python docs/pictures.py`, after docs/readme.py.

docs/figures/retrieval.png is figure 1 at R@1 with the README's rows, from docs/numbers.csv.  docs/figures/social.png,
1280 x 640, is the preview of links to the project: the site's pages name it, and it is set among the settings of a
repository's host.  docs/figures/classification.png has the page's rows, from results/tables, if `make` has filled it.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from readme import NUMBERS, SHORT, TABLES

from ngw.report import figures, style
from ngw.report.frames import read_csv

if TYPE_CHECKING:
    import pandas as pd

DOCS = Path(__file__).parent
PAIR = ("scenes", "effnet-lite0", "minilm-l6")
CONTROLS = ("linear-probe", "oracle", "unaligned", "shuffled", "chance")
PAPER, ACCENT, PEERS = "#fbfbfa", "#D55E00", "#b4b8be"


def known(numbers: str) -> pd.DataFrame:
    """The retrieval table's rows in the text of docs/numbers.csv; intervals that it lacks are NaN."""
    rows = read_csv(numbers)
    rows = rows[rows["table"] == "retrieval"].assign(**dict(zip(("dataset", "vision", "text"), PAIR, strict=True)))
    return rows.reindex(columns=[*rows, *({"low", "high"} - set(rows))])


def readme_figure(rows: pd.DataFrame) -> bytes:
    """Figure 1 of the README's rows and the oracle; a png."""
    return style.encode(figures.recall_figure(rows, PAIR, cutoffs=(1,), methods=[*SHORT, "oracle"]), "png")


def classification_figure(rows: pd.DataFrame) -> bytes:
    """Accuracy of the page's rows, one set below the other; a png."""
    some = ["ngw", "wasserstein-procrustes", "sotalign", "semi-cca", "cca", "ridge", *CONTROLS]
    drawn = [figures.accuracy_figure(rows, (name, *PAIR[1:]), some) for name in ("scenes-places", "scenes-nouns")]
    pictures = [Image.open(io.BytesIO(style.encode(figure, "png"))) for figure in drawn]
    both = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), "white")
    for k, picture in enumerate(pictures):
        both.paste(picture, (0, sum(p.height for p in pictures[:k])))
    buffer = io.BytesIO()
    both.save(buffer, "png")
    return buffer.getvalue()


def social_preview(rows: pd.DataFrame) -> bytes:
    """The name, its purpose, and R@1 from images to texts against the known pairs, ngw before its peers; a png."""
    from matplotlib.figure import Figure

    rows = rows[(rows["metric"] == "i2t_recall_1") & (rows["unpaired"] == "shared")]
    rows = rows[rows["method"].isin(SHORT) & (rows["role"] != "control")].assign(pairs=rows["pairs"].astype(int))
    last = rows[rows["pairs"] == rows["pairs"].max()].sort_values("mean", ascending=False)
    with style.paper():
        figure = Figure(figsize=(12.8, 6.4), facecolor=PAPER)
        figure.text(0.07, 0.80, "Neural\nGeometry\nWarping", size=48, weight="bold", color=style.INK, va="top")
        figure.text(
            0.07, 0.36, "Two frozen encoders,\na few known pairs, one space.", size=20, color=style.INK, va="top"
        )
        axes = figure.add_axes((0.53, 0.19, 0.35, 0.57), facecolor=PAPER)
        for method, row in rows.groupby("method", sort=False):
            look = (
                {"color": ACCENT, "linewidth": 7, "zorder": 3} if method == "ngw" else {"color": PEERS, "linewidth": 3}
            )
            axes.plot(row["pairs"], 100 * row["mean"], **look)
        for name, colour, end in zip(("ngw", "peers"), (ACCENT, style.GREY), last.head(2).itertuples(), strict=True):
            axes.text(end.pairs * 1.08, 100 * end.mean, name, size=22, weight="bold", color=colour, va="center")
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.set_xticks(budgets := sorted(set(rows["pairs"])), [f"{pairs}" for pairs in budgets], size=17)
        axes.set_yticks(range(0, 61, 20), ["0", "20", "40", "60 %"], size=17)
        axes.set_title("images that find their caption first", size=18, weight="normal", color=style.INK, pad=18)
        axes.set_xlabel("known pairs", size=18)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def small(png: bytes) -> bytes:
    """A drawing as png with a palette of 128 colours."""
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    retrieval = known(NUMBERS.read_text(encoding="utf-8"))
    for name, draw in (("retrieval", readme_figure), ("social", social_preview)):
        (DOCS / "figures" / f"{name}.png").write_bytes(small(draw(retrieval)))
    if (TABLES / "classification.csv").is_file():
        classes = read_csv((TABLES / "classification.csv").read_text(encoding="utf-8"))
        (DOCS / "figures" / "classification.png").write_bytes(small(classification_figure(classes)))
