"""The pages' pictures: the scripts draw the README's figure and the preview, and the drawings of docs/ are whole."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def rows() -> pd.DataFrame:
    """The retrieval table's rows in docs/numbers.csv, of one pair of encoders, with intervals."""
    numbers = pd.read_csv(DOCS / "numbers.csv", dtype={"pairs": str})
    rows = numbers[numbers["table"] == "retrieval"]
    return rows.assign(dataset="scenes", vision="a", text="b", low=rows["mean"] * 0.9, high=rows["mean"] * 1.1)


def test_the_readmes_figure_and_the_preview_are_drawn(rows, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    import pictures

    sizes = []
    for draw in (pictures.readme_figure, pictures.social_preview):
        image = Image.open(BytesIO(pictures.small(draw(rows))))
        assert len(image.getcolors(256)) > 20
        sizes.append(image.size)
    (width, _), preview = sizes
    assert 1500 < width < 1700  # 5.4 inches
    assert preview == (1280, 640) == Image.open(DOCS / "social.png").size


@pytest.mark.parametrize("drawing", sorted(DOCS.glob("*.svg")), ids=lambda path: path.name)
def test_a_drawing_says_what_it_shows_and_takes_nothing_from_elsewhere(drawing):
    root = ElementTree.fromstring(drawing.read_text(encoding="utf-8"))
    assert root.findtext("{http://www.w3.org/2000/svg}title")
    assert "http" not in drawing.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert drawing.stat().st_size < 400_000
