"""The look of every figure: one palette, one set of sizes, and files whose bytes depend on the data alone."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

COLUMNS = 4  # panels in a line, at most
INK, GREY, FAINT = "#222222", "#8a8a8a", "#e6e6e6"
# (colour, marker): Okabe and Ito's colours, distinct to colour-blind readers, ordered so that neighbours differ in
# lightness too; the markers distinguish them in grayscale.
_SERIES = [
    ("#D55E00", "o"), ("#0072B2", "s"), ("#E69F00", "^"), ("#009E73", "D"), ("#CC79A7", "v"),
    ("#56B4E9", "P"), ("#6A3D9A", "X"), ("#7F6000", "<"), ("#003B5C", ">"), ("#B2182B", "h"),
    ("#6BA539", "p"), ("#7A7A7A", "d"), ("#C51B7D", "*"), ("#35978F", "8"),
    ("#5B3A29", "H"), ("#A6A600", (6, 1, 0)), ("#8C6BB1", (4, 1, 0)), ("#1B5E20", (5, 0, 180)),
    ("#FB6A4A", (8, 1, 0)), ("#4D4D4D", (3, 1, 0)),
]  # fmt: skip
MISSING = "□"  # stands for a character that the font lacks
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LABEL = 36  # characters of a name in a line of a legend
_DASHES = ["-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2))]

_SETTINGS = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the same everywhere
    "font.size": 7.5,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.2,
    "lines.markeredgecolor": "white",
    "lines.markeredgewidth": 0.5,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.fontsize": 7.5,
    "pdf.fonttype": 42,  # text stays text
    "text.parse_math": False,  # a caption's dollars are dollars
}


@contextmanager
def paper() -> Iterator[None]:
    """Draw inside this context; the caller's own settings are left alone."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        yield


def new(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    """A figure and its array of axes [rows, columns], sizes in inches, without pyplot and its global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def grid(
    count: int, width: tuple[float, float], height: tuple[float, float], **options: Any
) -> tuple[Figure, Sequence[Axes]]:
    """A figure of `count` panels, `COLUMNS` in a line; width and height: of the margins, and of each panel."""
    columns = min(COLUMNS, max(1, count))
    lines = -(-count // columns)
    figure, panels = new(lines, columns, width[0] + width[1] * columns, height[0] + height[1] * lines, **options)
    for axes in panels.flat[count:]:
        axes.set_visible(False)
    return figure, panels.flat[:count]


def line(**look: Any) -> Line2D:
    """A line for a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **look)


def band(colour: str, alpha: float) -> Patch:
    """An interval for a legend."""
    from matplotlib.patches import Patch

    return Patch(color=colour, alpha=alpha, linewidth=0)


def bare(axes: Axes) -> None:
    """A panel without ticks and grid."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)


def words(axes: Axes, x: float, y: float, text: str, size: float, **options: Any) -> None:
    """Words inside a panel, x and y from 0 to 1."""
    axes.text(x, y, text, transform=axes.transAxes, fontsize=size, **options)


def series(k: int, emphasis: bool) -> dict[str, Any]:
    """The line of series k: solid and heavier with emphasis, else with its own dashes."""
    colour, marker = _SERIES[k % len(_SERIES)]
    dashes = "-" if emphasis else _DASHES[1 + k % (len(_DASHES) - 1)]
    return {"color": colour, "marker": marker, "linestyle": dashes, "linewidth": 1.8 if emphasis else 1.1}


def looks(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The line of each method among a table's rows, controls aside; this project's methods are heavier."""
    roles = rows[rows["role"] != "control"].drop_duplicates("method")
    return {row.method: series(k, row.role == "method") for k, row in enumerate(roles.itertuples(index=False))}


def note(axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
    """Small grey words inside a panel, y in data units and x from 0 to 1."""
    axes.text(x, y, text, transform=axes.get_yaxis_transform(), color=GREY, fontsize=6.5, **options)


def picture(axes: Axes, image: Any, **options: Any) -> None:
    """An image (Pillow's, or an array [h, w, 3]) in a panel; a string, the name of a missing file, as words."""
    import numpy as np

    if isinstance(image, str):
        words(axes, 0.5, 0.5, f"(no file)\n{fold(image, 14, 2)}", 5, ha="center", va="center", color=GREY)
    else:
        axes.imshow(np.asarray(image), **options)


def fold(text: str, width: int, lines: int = 1, indent: str = "") -> str:
    """Words for a figure: at most `lines` lines of `width` characters, white space as single spaces, a cut as "…".

    indent: before every line but the first.
    """
    folded = textwrap.wrap(" ".join(text.split()), width, subsequent_indent=indent)
    if len(folded) > lines:
        folded[lines - 1 :] = [folded[lines - 1][: width - 1].rstrip() + "…"]
    return "\n".join(folded)


def name(text: str) -> str:
    """A name folded for a legend; a derived method's can be long."""
    return fold(text, LABEL, 3)


def logarithmic(axis: Axis) -> None:
    """A log scale whose powers are plain characters, 10⁻², since figures read no text as mathematics."""
    from matplotlib.ticker import LogFormatterSciNotation

    class Powers(LogFormatterSciNotation):
        def __call__(self, x: float, pos: int | None = None) -> str:
            text = super().__call__(x, pos).removeprefix(r"$\mathdefault{").removesuffix("}$")
            return re.sub(r"\^\{(.*?)\}", lambda power: power[1].translate(_RAISED), text.replace(r"\times", "×"))

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_formatter(Powers())
    axis.set_minor_formatter(Powers())


@lru_cache
def _characters(font: str) -> frozenset[int]:
    """The code points that a font file has."""
    from matplotlib.font_manager import get_font

    return frozenset(get_font(font).get_charmap())


def _replace_missing(figure: Figure) -> None:
    """`MISSING` for every character that its font lacks; matplotlib would warn of each and draw another box."""
    from matplotlib.font_manager import findfont
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        known = _characters(findfont(text.get_fontproperties()))
        text.set_text("".join(c if c == "\n" or ord(c) in known else MISSING for c in text.get_text()))


def encode(figure: Figure, form: str) -> bytes:
    """The figure as "png" (300 dpi) or "pdf": no date, no version, so equal data give equal bytes.

    Characters that the font lacks become `MISSING`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    nothing = {"png": {"Software": None}, "pdf": {"Creator": None, "Producer": None, "CreationDate": None}}
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    with paper():
        _replace_missing(figure)
        figure.savefig(buffer, format=form, dpi=300, metadata=nothing[form])
    return buffer.getvalue()


def cut(axes: Axes, x: float) -> None:
    """Two short strokes over the lower spine: the scale is broken at x."""
    place = axes.get_xaxis_transform()
    width = 0.006 * (axes.get_xlim()[1] - axes.get_xlim()[0])
    axes.plot([x - width, x + width], [0, 0], transform=place, color="white", linewidth=2.5, clip_on=False, zorder=5)
    for side in (x - width, x + width):
        axes.plot(
            [side - width, side + width], [-0.018, 0.018], transform=place, color=INK, linewidth=0.6,
            marker="", clip_on=False, zorder=6,
        )  # fmt: skip
