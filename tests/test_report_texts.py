"""Users' texts in figures, tables and the page are words: never mathematics, commands, markup or addresses."""

from __future__ import annotations

import re
import shutil
import subprocess
import warnings

import numpy as np
import pandas as pd
import pytest
from hostile_texts import HOSTILE, MARKUP, WORDS, Elements
from matplotlib.figure import Figure
from retrieval_runs import PAIR, collated

from ngw.report import examples, figures, layout, page, render, style
from ngw.report.runs import Run
from ngw.report.summary import Summary, summary
from ngw.report.tables import ablations, efficiency, identifiability

PNG = style.encode(Figure((0.1, 0.1)), "png")

BROWSER = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
PICTURE = np.zeros((4, 4, 3), np.uint8)


def drawn(figure) -> list[str]:
    """What a figure says, once it has been drawn without a warning in both forms."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert style.encode(figure, "png").startswith(b"\x89PNG")
        assert style.encode(figure, "pdf").startswith(b"%PDF")
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def sheets(texts: list[str]) -> list:
    """Every figure that shows captions, questions or answers, with each text in every place of one of its items."""
    to_text = [examples.Ranked(PICTURE, [(text, True)]) for text in texts]
    to_image = [examples.Ranked(text, [(text, True), (PICTURE, False)]) for text in texts]
    questions = [examples.Example(PICTURE, text, text, {text: (text, 0.5)}, np.ones(4)) for text in texts]
    return [
        examples.retrieval_sheet(to_text, to_image, texts[0]),
        examples.caption_sheet([examples.Captioned(text, text, {text: text}) for text in texts]),
        examples.image_sheet([examples.Drawn(text, text, {text: PICTURE}) for text in texts]),
        examples.vqa_sheet(questions),
    ]


@pytest.mark.parametrize("kind", range(4))
def test_a_figure_shows_any_text_as_its_words(kind):
    said = drawn(sheets([MARKUP[0], *WORDS])[kind])
    assert any("$5 # $6 each" in words for words in said)
    assert all(len(line) <= 92 for words in said for line in words.split("\n"))


@pytest.mark.parametrize("name", ["ngw~x={a$1,b$2}", "ngw~x=^_%&#\\", "ngw~call=猫", "ngw~" + "long=1~" * 34])
def test_a_figure_shows_any_name_of_a_method(name):
    rows = collated().replace({"method": {"ngw": name}})
    recall = figures.recall_figure(rows, PAIR, (1,))
    words = drawn(recall)
    first = rows[rows["metric"] == rows["metric"][0]]
    values = {"mean_recall_1": 0.5, "train_seconds": 3.0}
    cost = pd.concat([first.assign(metric=metric, mean=mean) for metric, mean in values.items()])
    for said in (words, drawn(efficiency.figure(cost, PAIR))):
        start = name.replace("猫", style.MISSING)[:12]
        assert any(text.replace("\n", "").startswith(start) for text in said)


def test_dollars_stay_and_what_is_too_long_is_cut_where_one_sees_it():
    assert drawn(sheets(["$5 # $6 each"])[1]).count("$5 # $6 each") == 3
    assert style.fold("a  b\n\nc", 10) == "a b c"
    assert style.fold("word " * 9, 12, 2) == "word word\nword word…"
    assert style.fold("x" * 100, 5, 2) == "xxxxx\nxxxx…"
    assert style.fold("", 5) == ""


def test_a_character_that_the_font_lacks_is_a_box_and_others_stay():
    said = drawn(sheets(["猫 שלום ü\x07"])[1])
    assert f"{style.MISSING} שלום ü{style.MISSING}" in said


def test_powers_stand_on_a_log_scale_without_mathematics():
    with style.paper():
        figure, panels = style.new(1, 1, 3, 2)
        panels[0, 0].plot([0.01, 1000], [1, 2])
        style.logarithmic(panels[0, 0].xaxis)
    assert {"10⁻²", "10³"} <= set(drawn(figure))


def table(text: str) -> layout.Table:
    """A table with this text in every place that is a user's."""
    lines = [layout.Line(text, [[layout.Number(text)]]), layout.Line(text, [[]], control=True)]
    return layout.Table(text, "slug", text, [text], lines, ["Bold: best."])


def shown(text: str) -> str:
    """A text as one reads it in a table."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "�", " ".join(text.split()))


@pytest.mark.parametrize("text", [text for text in HOSTILE if text.strip()])
def test_a_text_in_a_table_of_the_page_is_what_one_reads(text):
    document = f"# Own\n\n{render.markdown(table(text))}"
    document.encode()
    found = Elements(alone(document))
    assert found.kinds == PLAIN.kinds
    assert found.addresses == PLAIN.addresses
    read = [" ".join(cell.split()) for cell in found.cells[:4]]
    assert read[:2] == [shown(text)] * 2
    assert read[2].rstrip("…") == shown(text)[: len(read[2].rstrip("…"))]
    assert len(read[2]) == min(len(shown(text)), render.LONGEST) or len(text.split()) > render.LONGEST / 5


def alone(document: str) -> str:
    """The page of one document."""
    return page.page("t", {}, "", page.sections({"own": document}, {}, {}), Summary({}, {}, []))


PLAIN = Elements(alone(f"# Own\n\n{render.markdown(table('plain'))}"))


def full(text: str) -> str:
    """A page with this text in every place, and with a table that isn't ours and holds it raw."""
    documents = {
        "own": f"# Own\n\n{render.markdown(table(text))}",
        text: f"# x\n\n## {text}\n\n{text}\n\n| a |\n|---|\n| {text} |\n",
    }
    record = {"method": text, "pairs": "30", "seed": 0, "converged": False, "note": text}
    record |= dict.fromkeys(("dataset", "vision", "text", "unpaired", "task", "role"), text)
    runs = {"own": [Run(text, record, (text,))]}
    parts = page.sections(documents, {f"{text}.png": PNG, "own.png": PNG}, runs)
    return page.page(text, {text: text}, text, parts, summary(runs, {}))


@pytest.mark.parametrize("text", MARKUP, ids=range(len(MARKUP)))
def test_no_text_brings_an_element_an_attribute_or_an_address(text):
    found, plain = Elements(full(text)), Elements(full("plain"))
    ours = {kind for kind in found.kinds if kind[0] not in ("code", "li", "ol")}  # what Markdown itself writes
    assert ours <= plain.kinds | {("h3", ()), ("p", ()), ("strong", ()), ("em", ()), ("td", ()), ("th", ())}
    assert found.scripts == 1
    assert all(re.match(r"data:|#|figures/|[^:]*$", address) for address in found.addresses), found.addresses


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium isn't installed")
def test_no_text_runs_in_a_browser(tmp_path):
    for k, text in enumerate(MARKUP):
        (tmp_path / f"{k}.html").write_text(full(text).replace("alert(1)", "document.title='run'"), encoding="utf-8")
        done = subprocess.run(
            [*BROWSER, (tmp_path / f"{k}.html").as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert "<title>run</title>" not in done.stdout


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_text_in_tex_is_no_command_and_ends_no_line(text):
    code = render.tex(table(text))
    code.encode()
    body = code.split(r"\toprule")[1].split(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line.strip() not in ("", r"\midrule")]
    assert [len(re.findall(r"(?<!\\)&", line)) for line in lines] == [1, 1, 1]
    assert all(line.endswith(r" \\") for line in lines)
    assert not [line for line in lines if line.lstrip().startswith(("[", "*"))]
    known = r"\\(?:[&%$#_{}]|text(?:asciitilde|asciicircum|backslash|less|greater|bar|it)\b|\\$)"
    rest = re.sub(known, "", "\n".join(lines), flags=re.MULTILINE)
    assert not re.search(r"[\\$%#~^_<>|]", rest), rest
    assert rest.count("{") == rest.count("}")


def test_the_other_figures_take_names_too():
    name = "$a$ {b} ^_%&#\\"
    rows = [
        {"dataset": "d", "vision": "v", "text": "t", "method": name, "role": "method", "map": way, "null": null, "k": k}
        | dict.fromkeys(("mean", "low", "high"), 1 / k)
        for way in ("ab", "ba") for null in (True, False) for k in (1, 2, 3)
    ]  # fmt: skip
    said = drawn(identifiability.spectrum_figure(pd.DataFrame(rows), ("d", "v", "t")))
    assert {name, "T_AB", "T_BA"} <= set(said)
    changed = [
        dict(
            dataset="d", vision="v", text="t", base=name, option=name, value=value, method=method, pairs="8",
            unpaired="none", metric="mean_recall_1", mean=0.5, low=0.4, high=0.6, support=np.nan, step=np.nan,
            difference=np.nan if method == name else 0.0,
        )
        for method, value in ((name, "$1$"), (name + "~x=$2$", "$2$"))
    ]  # fmt: skip
    assert {name, "$1$", "$2$"} <= set(drawn(ablations.figure(pd.DataFrame(changed), ("d", "v", "t"))))
