"""The README's figure and the social preview: run `python docs/pictures.py` after `make`, as docs/readme.py.

docs/retrieval.png is figure 1 at R@1 with the README's rows.  docs/social.png, 1280 x 640, is what a link to the
repository or to the site shows.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from readme import SHORT, TABLES

from ngw.report import figures, style
from ngw.report.frames import encoder_pairs, read_csv

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

DOCS = Path(__file__).parent
ACCENT, PAPER = "#D55E00", "#fbfbfa"


def readme_figure(rows: pd.DataFrame) -> bytes:
    """Figure 1 of the README's rows and the oracle, as png."""
    shown = rows[rows["method"].isin([*SHORT, "oracle"])]
    return style.encode(figures.recall_figure(shown, encoder_pairs(shown)[0], cutoffs=(1,)), "png")


def social_preview(rows: pd.DataFrame) -> bytes:
    """The name, what it does, and R@1 from images to texts against the known pairs, ngw before its peers; png."""
    curves = rows[(rows["metric"] == "i2t_recall_1") & (rows["unpaired"] == "shared") & rows["method"].isin(SHORT)]
    with style.paper():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(12.8, 6.4), facecolor=PAPER)
        figure.text(0.06, 0.80, "Neural\nGeometry\nWarping", size=46, weight="bold", color=style.INK, va="top")
        figure.text(
            0.06, 0.30, "Two frozen encoders, a few pairs,\none space, by optimal transport.", size=19, va="top"
        )
        axes = figure.add_axes((0.55, 0.20, 0.36, 0.58), facecolor=PAPER)
        for method, row in curves.groupby("method", sort=False):
            x, y = row["pairs"].astype(int), 100 * row["mean"]
            own = method == "ngw"
            axes.plot(x, y, color=ACCENT if own else "#b8bcc2", linewidth=6 if own else 2.5, zorder=3 if own else 2)
            if own:
                axes.text(x.iloc[-1] * 1.06, y.iloc[-1], "ngw", size=22, weight="bold", color=ACCENT, va="center")
        axes.set_xscale("log")
        axes.set_xticks(x, [f"{pairs} pairs" if pairs == x.max() else f"{pairs}" for pairs in x], size=16)
        axes.set_yticks([0, 20, 40, 60], ["0", "20", "40", "60 %"], size=16)
        axes.set_title("images that find their caption first", size=17, weight="normal", pad=14)
        return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def small(png: bytes) -> bytes:
    """A png with a palette of 128 colours: drawings lose nothing that one sees."""
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(buffer, "png", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    retrieval = read_csv((TABLES / "retrieval.csv").read_text(encoding="utf-8"))
    for name, draw in (("retrieval", readme_figure), ("social", social_preview)):
        (DOCS / f"{name}.png").write_bytes(small(draw(retrieval)))
