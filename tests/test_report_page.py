"""The report page: complete, in order, alone in its file, usable without a mouse or eyes, and quiet in a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hostile_texts import Elements
from matplotlib.figure import Figure
from PIL import Image
from retrieval_runs import run as record_of

from ngw.cli import main
from ngw.config import read
from ngw.report import page
from ngw.report.layout import Line, Number, Table
from ngw.report.runs import Run
from ngw.report.stages import write_tables
from ngw.report.style import encode
from ngw.report.summary import Summary
from ngw.tools import provenance

PNG = encode(Figure((0.1, 0.1)), "png")
NOTHING = Summary({}, {}, [])
BROWSER = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
needs_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium isn't installed")


def document(title: str, lines: list[Line], setting: str = "") -> str:
    """A table's Markdown, as the report writes it."""
    from ngw.report.render import markdown

    heading = f"R@1, unpaired rows {setting}: scenes" if setting else title
    table = Table(heading, "slug", "method", ["R@1"], lines, ["Bold: best."])
    return f"# {title}\n\n## scenes\n\n{markdown(table)}"


def run(method: str, pairs: str = "30", seed: int = 0, logs: tuple[str, ...] = (), **changes) -> Run:
    """A run of the page with its record."""
    record, _ = record_of(method, pairs, seed, ([1] * 4, [1] * 8), **changes)
    return Run(f"runs/a b/{method}/pairs{pairs}/seed{seed}/metrics/retrieval.json", record, logs)


@pytest.fixture
def parts() -> list[page.Section]:
    lines = [
        Line("low", [[Number("9.5")]]), Line("high", [[Number("1,010.0", best=True)]]), Line("none", [[]]),
        Line("chance (0 pairs)", [[Number("99.0")]], control=True),
    ]  # fmt: skip
    both = document("R", lines, "shared") + document("R", lines[:2], "disjoint").partition("scenes\n")[2]
    texts = {"stages": document("Time", lines), "own": document("Own", lines), "retrieval": both}
    logs = ("logs/fit/a b.log", "logs/retrieval.x.log")
    records = {
        "retrieval": [run("low", seed=1), run("high", logs=logs), run("low", seed=0), run("chance", "0")],
        "captions": [run("low")],
    }
    return page.sections(texts, {"retrieval.a.png": PNG, "vqa.a.png": PNG, "stages.png": PNG}, records)


def test_parts_stand_in_order_with_their_own_figures(parts):
    assert [(part.name, part.title) for part in parts] == [
        ("retrieval", "Retrieval"), ("stages", "Where the time went"), ("own", "Own")
    ]  # fmt: skip
    assert list(parts[0].figures) == ["retrieval.a.png"]
    one = run("low")
    sheets = page.sections({"generation": "# x\n"}, {"captions.a.png": PNG, "images.a.png": PNG}, {"images": [one]})
    assert list(sheets[0].figures) == ["captions.a.png", "images.a.png"]
    assert sheets[0].runs == [one]


def test_a_row_leads_to_the_records_and_logs_of_its_runs(parts):
    text = page.page("t", {}, "", parts, NOTHING)
    rows = dict(re.findall(r'<tr data-method="(\w+)">\s*<th[^>]*><a href="#([\w-]+)">', text))
    rows |= dict(re.findall(r'<tr data-method="(\w+)">\s*<th[^>]*><a href="#([\w-]+)"><em>', text))
    assert rows.keys() == {"low", "high", "chance"}
    lists = {anchor: text.split(f'<details id="{anchor}"')[1].split("</details>")[0] for anchor in rows.values()}
    assert "low: 2 runs" in lists[rows["low"]]
    assert '<a href="runs/a%20b/low/pairs30/seed1/metrics/retrieval.json">30 pairs, seed 1</a>' in lists[rows["low"]]
    assert '<a href="logs/fit/a%20b.log">fit</a>, <a href="logs/retrieval.x.log">retrieval</a>' in lists[rows["high"]]
    assert text.count("Records and logs of the runs") == 1  # sections without runs say nothing


def test_rows_of_what_quality_costs_lead_to_the_runs_of_retrieval():
    documents = {"retrieval": "# R\n", "efficiency": document("E", [Line("cca (30 pairs) †", [[Number("1.0")]])])}
    text = page.page("t", {}, "", page.sections(documents, {}, {"retrieval": [run("cca")]}), NOTHING)
    assert '<a href="#retrieval-runs-1">cca (30 pairs) †</a>' in text
    assert text.count('id="retrieval-runs-1"') == 1


def test_a_row_that_is_called_otherwise_than_its_method_leads_to_its_runs():
    table = Table("Ablations", "s", "option", ["value"], [Line("epsilon", [[Number("0.1")]], converged=False)])
    from ngw.report.render import markdown

    names = {"ablations": {("epsilon", "0.1"): "ngw~epsilon=0.1"}}
    documents = {"ablations": f"# Ablations\n\n{markdown(table)}"}
    (part,) = page.sections(documents, {}, {"ablations": [run("ngw~epsilon=0.1")]}, names)
    text = page.page("t", {}, "", [part], NOTHING)
    assert '<tr data-method="ngw~epsilon=0.1">' in text
    assert '<a href="#ablations-runs-1">epsilon †</a>' in text


def test_the_page_needs_no_other_file_and_escapes_what_it_is_given(parts):
    told = Summary({"Data": "<b>"}, {"Lead": ["<i>"]}, ["<u>"])
    text = page.page("<ngw>", {"machine": "a & b"}, "key: <script>", parts, told)
    assert "<title>&lt;ngw&gt;</title>" in text
    assert "a &amp; b" in text
    assert "key: &lt;script&gt;" in text
    assert not re.search("<(?:b|i|u)>", text)
    loaded = re.findall(r'(?:src|<link[^>]*href)="([^"]*)"', text)
    assert loaded
    assert all(source.startswith("data:") for source in loaded)
    assert "http" not in re.sub(r"<(?:a|!doctype)[^>]*>", "", text)
    assert text.count("<table>") == 4
    assert '<td style="text-align: right;"><strong>1,010.0</strong></td>' in text


def test_tables_have_captions_scopes_and_settings(parts):
    text = page.page("t", {}, "", parts, NOTHING)
    tables = re.findall(r"<table>.*?</table>", text, re.DOTALL)
    assert len(re.findall(r"<table>\s*<caption ", text)) == len(tables)
    for table in tables:
        heads = re.findall(r"<th\b[^>]*>", table)
        assert all("scope=" in head for head in heads)
        assert len(heads) == 2 + table.count("<tr") - 1  # a head of each column, one of each row but the first
    assert re.findall(r'class="block" data-setting="(\w+)"', text) == ["shared", "disjoint"]
    controls = tables[0].split("<tbody>")[2]
    assert re.search(r'<th colspan="2" scope="rowgroup"><em>controls</em></th>', controls.replace("\n", ""))
    levels = [int(level) for level in re.findall(r"<h(\d)", text)]
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="#|aria-labelledby=")([^"]+)"', text)
    assert set(used) <= set(ids)


def test_curves_come_before_examples():
    names = ["alignment.a.png", "retrieval-examples.a.png", "retrieval.a.png", "retrieval.b.png"]  # as files are sorted
    (part,) = page.sections({"retrieval": "# Retrieval"}, dict.fromkeys(names, b""), {})
    assert list(part.figures) == [names[2], names[3], names[0], names[1]]


def test_a_figure_is_described(parts):
    found = Elements(page.page("t", {}, "", parts, NOTHING))
    assert ("img", ("loading", "alt", "src")) in found.kinds
    assert re.search('alt="Curves of R@1 and R@10[^"]*: a"', page.page("t", {}, "", parts, NOTHING))


def test_figures_shrink_until_the_page_is_small_enough(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    parts = page.sections({"vqa": "# x\n"}, {"vqa.a.png": file.getvalue()}, {})
    whole = len(page.page("t", {}, "", parts, NOTHING))
    monkeypatch.setattr(page, "LIMIT", whole - 20_000)
    text = page.page("t", {}, "", parts, NOTHING)
    assert len(text) <= whole - 20_000
    (shown,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', text)
    with Image.open(BytesIO(base64.b64decode(shown))) as figure:
        assert figure.size[0] < 400
        assert figure.size[0] * 300 == pytest.approx(figure.size[1] * 400, rel=0.02)


def test_the_stage_writes_it_from_the_folders(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tables").mkdir()
    (tmp_path / "figures").mkdir()
    config = read(Path(__file__).with_name("config.yaml"))
    words = ["page", "--tables", "tables", "--figures", "figures", "--config", json.dumps(config)]
    words += ["--output", str(tmp_path / "index.html")]
    assert main(words) == 2
    assert "expected tables, found none" in capsys.readouterr().err
    write_tables({"retrieval.md": document("R", [Line("cca", [[Number("1.0")]])])}, tmp_path / "tables")
    (tmp_path / "figures" / "retrieval.x.png").write_bytes(PNG)
    assert main(words) == 0
    text = (tmp_path / "index.html").read_text()
    assert re.search("<th[^>]*>cca</th>", text)
    assert "seeds:" in text
    assert 'href="figures/retrieval.x.png"' in text
    (shown,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', text)
    with Image.open(BytesIO(base64.b64decode(shown))) as figure, Image.open(BytesIO(PNG)) as drawn:
        assert (figure.format, figure.size) == ("WEBP", drawn.size)
    assert "runs are missing; the first is runs/scenes/effnet-lite0__minilm-l6/ngw/" in text


def test_what_made_it_is_told():
    found = provenance.about()
    assert found["ngw"].startswith("0.")
    assert "torch" in found["libraries"]
    assert "cores" in found["machine"]
    assert not [key for key, value in found.items() if not value]


def seen(text: str, folder: Path, words: str = "") -> str:
    """What a browser has made of a page after a script, without anything in its console."""
    (folder / "index.html").write_text(text.replace("</body>", f"<script>{words}</script></body>"), encoding="utf-8")
    done = subprocess.run(
        [*BROWSER, "--dump-dom", (folder / "index.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    return done.stdout


@needs_browser
def test_a_browser_sorts_the_methods_and_has_nothing_to_complain_about(parts, tmp_path):
    press = "document.querySelectorAll('thead button')[1].click()"
    table = seen(page.page("t", {}, "", parts, NOTHING), tmp_path, press).split("</table>")[0]
    heads = re.findall(r"<tr[^>]*>\s*<th[^>]*>(?:<[^>]*>)*([\w ()]+)", table.split("<tbody>", 1)[1])
    assert heads == ["high", "low", "none", "controls", "chance (0 pairs)"]
    assert re.search(r'aria-sort="descending"[^>]*><button type="button">R@1</button>', table)


@needs_browser
def test_a_browser_filters_by_method_and_setting_and_tells_how_much_is_left(parts, tmp_path):
    text = page.page("t", {}, "", parts, NOTHING)
    type_in = "document.getElementById('methods').value = 'HIG'; form.dispatchEvent(new Event('input'));"
    left = "document.title = all('tr[data-method]:not([hidden])').map(row => row.dataset.method).join();"
    shown = seen(text, tmp_path, type_in + left)
    assert "<title>high,high</title>" in shown
    assert ">2 of 5 rows of methods, 4 of 4 tables shown</output>" in shown
    assert '<tbody hidden="">' in shown  # of the controls
    uncheck = "document.querySelector('input[value=shared]').click();"
    assert ">2 of 5 rows of methods, 3 of 4 tables shown</output>" in seen(text, tmp_path, uncheck)


@needs_browser
def test_a_link_to_a_methods_runs_opens_their_list(parts, tmp_path):
    text = page.page("t", {}, "", parts, NOTHING)
    go = (
        "location.hash = document.querySelector('tr[data-method=high] a').hash; dispatchEvent(new Event('hashchange'));"
    )
    opened = re.findall(r'<details id="[^"]*" data-method="(\w+)" open', seen(text, tmp_path, go))
    assert opened == ["high"]
