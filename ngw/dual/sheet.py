"""A contact sheet: images in their order, each with a line of text, as one image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ngw.errors import InputError
from ngw.io.images import read

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE, MARGIN, TEXT = 240, 12, 22  # pixels
LETTERS = 30  # of a line
COLUMNS = 4


def size(n: int, columns: int = COLUMNS) -> tuple[int, int]:
    """Width and height of a sheet of n images, in pixels."""
    columns = min(columns, n)
    return columns * (SIDE + MARGIN) + MARGIN, -(-n // columns) * (SIDE + TEXT + MARGIN) + MARGIN


def sheet(pictures: Sequence[tuple[Path, str]], columns: int = COLUMNS) -> Image:
    """The images, row by row, each above its line; one that can't be read is a grey field that says so."""
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    width, height = SIDE + MARGIN, SIDE + TEXT + MARGIN
    page = Image.new("RGB", size(len(pictures), columns), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for k, (path, line) in enumerate(pictures):
        left, top = MARGIN + k % columns * width, MARGIN + k // columns * height
        try:
            view = ImageOps.contain(read(path), (SIDE, SIDE), Image.Resampling.LANCZOS)
        except InputError:
            view, line = Image.new("RGB", (SIDE, SIDE), "lightgrey"), f"gone: {line}"
        page.paste(view, (left + (SIDE - view.width) // 2, top + (SIDE - view.height) // 2))
        short = line if len(line) <= LETTERS else f"{line[: LETTERS - 1]}…"
        pen.text((left, top + SIDE + 2), short, "black", font)
    return page
