"""A table has the same numbers and marks in csv, Markdown, TeX and plain text, and no character that they would eat."""

from __future__ import annotations

import csv
import io
import re

import pytest
from retrieval_runs import PAIR, collated

from ngw.report import frames, layout, render
from ngw.report.tables import retrieval


@pytest.fixture
def rows():
    return collated()


def test_csv_has_fractions_and_comes_back(rows):
    text = frames.to_csv(rows)
    first = next(csv.DictReader(io.StringIO(text)))
    assert list(first) == [
        "dataset", "vision", "text", "method", "pairs", "unpaired", "metric", "mean", "std", "low", "high", "n_seeds",
        "role", "converged",
    ]  # fmt: skip
    assert (first["metric"], first["mean"], first["converged"]) == ("i2t_recall_1", "0.75", "false")
    assert frames.read_csv(text).to_dict("records") == rows.to_dict("records")


def numbers(line):
    """The numbers of a rendered line behind its label, without any markup."""
    return re.findall(r"\d[\d,]*\.\d", re.split(r"[|&]|\s{2,}", line.strip("| "), maxsplit=1)[1])


@pytest.mark.parametrize("form", ["markdown", "tex", "plain"])
def test_the_same_numbers_stand_in_csv_and_in_every_rendering(rows, form):
    table = retrieval.budget_table(rows, PAIR, (4, 8), "all", "none")
    shown = getattr(render, form)(table).replace("\\", "")
    for method in ("ngw", "cca", "ridge", "oracle"):
        (line,) = [line for line in shown.splitlines() if re.match(rf"\W*(textit)?\W*{method}\W*(\s\s|\||&)", line)]
        found = [
            row
            for row in frames.read_csv(frames.to_csv(rows)).to_dict("records")
            if (row["method"], row["pairs"]) == (method, "all")
        ]
        for way in ("i2t", "t2i"):
            expected = []
            for row in (row for row in found if row["metric"].startswith(way)):
                scale = 1 if row["metric"].endswith("median_rank") else 100
                expected += [f"{scale * row['mean']:.1f}"] + [f"{scale * row['std']:.1f}"] * (form != "plain")
            half = len(numbers(line)) // 2
            assert numbers(line)[slice(0, half) if way == "i2t" else slice(half, None)] == expected


def test_main_table_marks_best_controls_and_what_did_not_converge(rows):
    lines = render.markdown(retrieval.main_tables(rows, PAIR, (4, 8))[0]).splitlines()
    assert "4 test images, 8 captions" in lines[0]
    table = [line for line in lines if line.startswith("|")]
    assert table[0] == "| pairs | 0 | 30 | all |"
    assert {line.count("|") for line in table} == {5}
    assert table[2] == "| ngw † | – | **75.0†°** ± 0.0 / **62.5†°** ± 0.0 | **75.0°** ± 0.0 / **62.5°** ± 0.0 |"
    assert table[3].startswith("| ngw\\~epsilon=0.1 | – | 62.5° ± 17.7 / 56.2° ± 8.8 |")
    assert table[6] == "| *controls* |  |  |  |"
    assert table[7] == "| *random* | *0.0° ± 0.0 / 0.0° ± 0.0* | – | – |"
    assert table[8] == "| *oracle* | – | – | *100.0 ± 0.0 / 100.0 ± 0.0* |"  # better than the best, yet not bold
    assert [line[:1] for line in lines[-4:]] == ["B", "†", "°", "–"]


def test_best_is_the_lowest_median_rank_and_ties_share_it(rows):
    shown = render.markdown(retrieval.budget_table(rows, PAIR, (4, 8), "30", "none"))
    median = {line.split("|")[1].strip(): line.split("|")[6].strip() for line in shown.splitlines() if "|" in line}
    assert median["ngw †"] == "**1.0†** ± 0.0"
    assert median["cca"] == "1.5 ± 0.0"
    assert median["*random (0 pairs)*"] == "*5.5 ± 0.0*"  # a control that stands in a budget that isn't its own
    assert "*oracle (all pairs)*" in median


def test_tex_is_well_formed(rows):
    shown = render.tex(retrieval.main_tables(rows, PAIR, (4, 8))[0])
    assert r"ngw\textasciitilde{}epsilon=0.1 & --" in shown
    assert shown.count(r"\midrule") == 2
    assert shown.count(r"\toprule") == shown.count(r"\bottomrule") == 1
    bare = re.sub(r"\\[{}]", "", shown)
    assert bare.count("{") == bare.count("}")
    assert re.findall(r"\\begin\{(\w+)\}", shown) == re.findall(r"\\end\{(\w+)\}", shown)[::-1]
    body = [line for line in shown.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in body} == {3}
    assert not re.search(r"(?<!\\)[%#_~]", shown.replace(r"\label", "").replace("_", ""))


def test_every_character_tex_or_markdown_would_eat_is_escaped():
    line = layout.Line("a_b~c|d*e%f&g", [[layout.Number("1.0")]])
    table = layout.Table("t", "t", "method", ["x"], [line])
    assert r"a\_b\textasciitilde{}c\textbar{}d*e\%f\&g & 1.0 \\" in render.tex(table)
    assert r"| a\_b\~c\|d\*e%f&amp;g | 1.0 |" in render.markdown(table)


def test_plain_text_is_aligned_and_fits_a_terminal(rows):
    lines = render.plain(retrieval.main_tables(rows, PAIR, (4, 8))[0]).splitlines()
    assert max(map(len, lines)) <= 100
    table = [line for line in lines if " / " in line and "image to text" not in line]
    assert "75.0†°* / 62.5†°*" in table[0]
    assert len({len(line) for line in table if "100.0" in line or "*" in line}) == 1  # right-aligned
