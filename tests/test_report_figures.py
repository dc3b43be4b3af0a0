"""Figures: the lines are the rows, the axis is honest about 0 and all, and equal data give equal bytes."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from ngw.report import figures, style

PAIR = ("scenes", "effnet-lite0", "minilm-l6")


def row(method, pairs, mean, role="method", way="i2t", k=1):
    return {
        "dataset": PAIR[0], "vision": PAIR[1], "text": PAIR[2], "method": method, "pairs": pairs,
        "unpaired": "none", "role": role, "metric": f"{way}_recall_{k}", "mean": mean, "std": 0.01,
        "low": mean - 0.05, "high": mean + 0.05,
        "n_seeds": 3, "converged": True,
    }  # fmt: skip


@pytest.fixture
def rows():
    found = []
    for way in ("i2t", "t2i"):
        for k in (1, 5):
            at = {"way": way, "k": k}
            found += [
                row("cca", pairs, mean, "baseline", **at) for pairs, mean in (("100", 0.2), ("30", 0.1), ("all", 0.9))
            ]
            found += [
                row("ngw", pairs, mean, **at) for pairs, mean in (("0", 0.05), ("30", 0.4), ("100", 0.8), ("all", 0.95))
            ]
            found += [row("random", "0", 0.01, "control", **at), row("oracle", "all", 0.97, "control", **at)]
            found += [row("shuffled", pairs, 0.02, "control", **at) for pairs in ("30", "100", "all")]
    return pd.DataFrame(found)


def test_budgets_stand_at_their_logarithm_and_the_others_beyond_a_break():
    axis = figures.pair_axis(["0", "30", "100", "all"])
    assert axis.place["30"] == pytest.approx(math.log10(30))
    assert axis.place["100"] == 2
    assert axis.place["0"] < axis.breaks[0] < axis.place["30"]
    assert axis.place["100"] < axis.breaks[1] < axis.place["all"]


def test_lines_are_the_rows(rows):
    figure = figures.recall_figure(rows, PAIR, cutoffs=(1,))
    left, right = figure.axes
    assert (left.get_title("left"), right.get_title("left")) == ("Image to text, R@1", "Text to image, R@1")
    lines = {line.get_label(): line for line in left.get_lines()}
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in left.get_lines()]
    assert any((x, y) == (pytest.approx([math.log10(30), 2]), pytest.approx([10, 20])) for x, y in drawn)  # in order
    assert any(y == pytest.approx([40, 80]) for _, y in drawn)
    assert list(lines["ngw"].get_ydata()) == pytest.approx([95])  # its points at 0 and at all stand apart
    assert any(y == pytest.approx([5]) for _, y in drawn)
    assert {text.get_text() for text in left.texts} == {"random, shuffled", "oracle"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ngw", "cca", "95 % interval", "control"]


def test_series_can_be_told_apart_without_colour():
    looks = [style.series(k, emphasis=k < 3) for k in range(12)]
    assert len({look["marker"] for look in looks}) == 12


@pytest.mark.parametrize("form", ["png", "pdf"])
def test_equal_data_give_equal_bytes(rows, form):
    first, second = (style.encode(figures.recall_figure(rows, PAIR, (1,)), form) for _ in range(2))
    assert first == second
    assert first.startswith({"png": b"\x89PNG", "pdf": b"%PDF"}[form])
    assert b"CreationDate" not in first


def test_a_row_of_panels_for_each_cutoff(rows):
    figure = figures.recall_figure(rows, PAIR, cutoffs=(1, 5))
    assert [axes.get_title("left") for axes in figure.axes] == [
        "Image to text, R@1", "Text to image, R@1", "Image to text, R@5", "Text to image, R@5",
    ]  # fmt: skip


@pytest.mark.parametrize("budgets", [("30",), ("0",), ("all",), ("0", "all")])
def test_few_budgets_still_draw(budgets):
    rows = [row(method, pairs, 0.5, way=way) for method in "ab" for pairs in budgets for way in ("i2t", "t2i")]
    rows = pd.DataFrame(rows)
    assert len(style.encode(figures.recall_figure(rows, PAIR, (1,)), "png")) > 1000


def test_a_setting_has_panels_of_its_own():
    budgets = (("30", "shared"), ("30", "disjoint"), ("all", "none"))
    rows = [row("ngw", pairs, 0.6, way=way) | {"unpaired": own} for pairs, own in budgets for way in ("i2t", "t2i")]
    panels = figures.recall_figure(pd.DataFrame(rows), PAIR, cutoffs=(1,)).axes
    labels = [f"R@1 (%), unpaired rows {unpaired}" for unpaired in ("shared", "disjoint")]
    assert [axes.get_ylabel() for axes in panels[::2]] == labels
