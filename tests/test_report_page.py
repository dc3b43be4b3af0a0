"""The report page: complete, in order, alone in its file, and quiet in a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from io import BytesIO

import pytest
from matplotlib.figure import Figure
from PIL import Image

from ngw.cli import main
from ngw.config import read
from ngw.report import page
from ngw.report.layout import Line, Number, Table
from ngw.report.stages import write_tables
from ngw.report.style import encode
from ngw.tools import provenance

PNG = encode(Figure((0.1, 0.1)), "png")


def document(title: str, lines: list[Line]) -> str:
    """A table's Markdown, as the report writes it."""
    from ngw.report.render import markdown

    table = Table(title, "slug", "method", ["R@1"], lines, ["Bold: best."])
    return f"# {title}\n\n## scenes\n\n{markdown(table)}"


@pytest.fixture
def parts() -> list[page.Section]:
    lines = [
        Line("low", [[Number("9.5")]]), Line("high", [[Number("1,010.0", best=True)]]), Line("none", [[]]),
        Line("chance", [[Number("99.0")]], control=True),
    ]  # fmt: skip
    texts = {"stages": document("Time", lines), "own": document("Own", lines), "retrieval": document("R", lines)}
    records = {"retrieval": ["runs/a b/metrics/retrieval.json"], "captions": ["runs/metrics/captioning.json"]}
    return page.sections(texts, {"retrieval.a.png": PNG, "vqa.a.png": PNG, "stages.png": PNG}, records)


def test_parts_stand_in_order_with_their_own_figures(parts):
    assert [(part.name, part.title) for part in parts] == [
        ("retrieval", "Retrieval"), ("stages", "Where the time went"), ("own", "Own")
    ]  # fmt: skip
    assert list(parts[0].figures) == ["retrieval.a.png"]
    sheets = page.sections({"generation": "# x\n"}, {"captions.a.png": PNG, "images.a.png": PNG}, {"images": ["b"]})
    assert list(sheets[0].figures) == ["captions.a.png", "images.a.png"]
    assert sheets[0].records == ["b"]


def test_a_section_leads_to_the_records_of_its_numbers(parts):
    text = page.page("t", {}, "", parts)
    assert '<a href="runs/a%20b/metrics/retrieval.json">runs/a b/metrics/retrieval.json</a>' in text
    assert text.count("The records of its 1 runs") == 1  # sections without records say nothing


def test_the_page_needs_no_other_file_and_escapes_what_it_is_given(parts):
    text = page.page("<ngw>", {"machine": "a & b"}, "key: <script>", parts)
    assert "<title>&lt;ngw&gt;</title>" in text
    assert "a &amp; b" in text
    assert "key: &lt;script&gt;" in text
    loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]*)"', text)
    assert loaded
    assert all(source.startswith("data:") for source in loaded)
    assert "http" not in re.sub(r"<(?:a|!doctype)[^>]*>", "", text)
    assert text.count("<table>") == 3
    assert '<td style="text-align: right;"><strong>1,010.0</strong></td>' in text


def test_the_stage_writes_it_from_the_folders(tmp_path, capsys):
    (tmp_path / "tables").mkdir()
    (tmp_path / "figures").mkdir()
    words = ["page", "--tables", str(tmp_path / "tables"), "--figures", str(tmp_path / "figures")]
    words += ["--config", json.dumps(read("tests/config.yaml")), "--output", str(tmp_path / "index.html")]
    assert main(words) == 2
    assert "expected tables, found none" in capsys.readouterr().err
    write_tables({"retrieval.md": document("R", [Line("cca", [[Number("1.0")]])])}, tmp_path / "tables")
    (tmp_path / "figures" / "retrieval.x.png").write_bytes(PNG)
    assert main(words) == 0
    text = (tmp_path / "index.html").read_text()
    assert "<td>cca</td>" in text.replace(' style="text-align: left;"', "")
    assert "seeds:" in text
    assert 'href="figures/retrieval.x.png"' in text
    (shown,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', text)
    with Image.open(BytesIO(base64.b64decode(shown))) as figure, Image.open(BytesIO(PNG)) as drawn:
        assert (figure.format, figure.size) == ("WEBP", drawn.size)
    assert "runs/scenes/effnet-lite0__minilm-l6/cca/pairs16/shared/seed0/metrics/retrieval.json</a>" in text


def test_what_made_it_is_told():
    found = provenance.about()
    assert found["ngw"].startswith("0.")
    assert "torch" in found["libraries"]
    assert "cores" in found["machine"]
    assert not [key for key, value in found.items() if not value]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium isn't installed")
def test_a_browser_sorts_the_methods_and_has_nothing_to_complain_about(parts, tmp_path):
    click = "<script>document.querySelectorAll('th')[1].click()</script></body>"
    text = page.page("t", {}, "", parts).replace("</body>", click)
    (tmp_path / "index.html").write_text(text)
    browser = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    done = subprocess.run(
        [*browser, "--dump-dom", (tmp_path / "index.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    table = done.stdout.split("</table>")[0]
    assert re.findall(r"<td[^>]*>(?:<em>)?(\w+)(?:</em>)?</td>\s*<td", table) == [
        "high", "low", "none", "controls", "chance"
    ]  # fmt: skip
    assert "CONSOLE" not in done.stderr
