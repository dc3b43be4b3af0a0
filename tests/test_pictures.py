"""The pages' pictures: the scripts draw the README's figure and the preview, and the drawings of docs/ are whole."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"


def test_the_figure_and_the_preview_are_those_of_the_numbers(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    import pictures

    rows = pictures.known((DOCS / "numbers.csv").read_text(encoding="utf-8"))
    for draw, name in ((pictures.readme_figure, "retrieval"), (pictures.social_preview, "social")):
        files = BytesIO(draw(rows)), DOCS / "figures" / f"{name}.png"
        drawn, kept = (Image.open(file).convert("L") for file in files)
        assert drawn.size == kept.size
        assert np.abs(np.subtract(drawn, kept, dtype=float)).mean() < 2  # of 255: the palette's, and another freetype's
    assert kept.size == (1280, 640)


@pytest.mark.parametrize("drawing", sorted(DOCS.glob("figures/*.svg")), ids=lambda path: path.name)
def test_a_drawing_says_what_it_shows_and_takes_nothing_from_elsewhere(drawing):
    root = ElementTree.fromstring(drawing.read_text(encoding="utf-8"))
    assert root.findtext("{http://www.w3.org/2000/svg}title")
    assert "http" not in drawing.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert drawing.stat().st_size < 400_000
