"""What the default data must show, read from the table that `make` made; skipped where it hasn't run."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[1] / "results" / "tables" / "retrieval.csv"


VQA = TABLE.with_name("vqa.csv")


@pytest.fixture(scope="module")
def means() -> dict[tuple[str, str], dict[str, float]]:
    """{(method, pairs): mean, low and high of the mean R@1 of both directions} on the default data."""
    if not TABLE.is_file():
        pytest.skip("results/tables/retrieval.csv isn't there: run `make` first")
    with open(TABLE, newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["dataset"], row["metric"]) == ("scenes", "mean_recall_1")]
    return {(r["method"], r["pairs"]): {k: float(r[k]) for k in ("mean", "low", "high")} for r in rows}


def test_everything_lies_between_random_and_the_oracle(means):
    chance, ceiling = means["random", "0"], means["oracle", "all"]
    for cell, row in means.items():
        assert row["high"] >= chance["low"], cell
        assert row["low"] <= ceiling["high"], cell


def test_ngw_beats_the_closed_forms_by_five_points_at_300_pairs(means):
    best = max(means[name, "300"]["mean"] for name in ("cca", "ridge", "procrustes", "relative"))
    assert means["ngw", "300"]["mean"] >= best + 0.05


def test_controls_are_at_chance(means):
    for cell, row in means.items():
        if cell[0] in ("shuffled", "ngw-raw", "unaligned", "random"):
            assert row["low"] <= 0.0015, cell  # chance is 0.001


def test_fusions_are_ten_points_above_what_either_side_tells_alone():
    if not VQA.is_file():
        pytest.skip("results/tables/vqa.csv isn't there: run `make` first")
    with open(VQA, newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["labels"], row["metric"]) == ("all", "accuracy")]
    at = {row["method"]: float(row["mean"]) for row in rows if row["dataset"] == "scenes"}
    alone = max(at["image-only"], at["question-only"])
    assert min(at["ngw-fusion"], at["concat"]) >= alone + 0.1
    assert abs(at["image-only"] - at["prior"]) < 0.03
    assert abs(at["question-only"] - at["prior-by-type"]) < 0.03
