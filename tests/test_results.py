"""The results that the default data must show, read from the table of `make`; skipped if it hasn't run."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[1] / "results" / "tables" / "retrieval.csv"


AT_CHANCE = ("shuffled", "ngw-raw", "unaligned", "random")
VQA, CLASSIFICATION = TABLE.with_name("vqa.csv"), TABLE.with_name("classification.csv")


@pytest.fixture(scope="module")
def means() -> dict[tuple[str, str], dict[str, float]]:
    """{(method, pairs): mean, low and high of the mean R@1 of both directions} on the default data, partners there."""
    if not TABLE.is_file():
        pytest.skip("results/tables/retrieval.csv isn't there: run `make` first")
    with open(TABLE, newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["dataset"], row["metric"]) == ("scenes", "mean_recall_1")]
    rows = [row for row in rows if row["unpaired"] != "disjoint"]
    if "oracle" not in {row["method"] for row in rows}:
        pytest.skip("results/tables/retrieval.csv is that of `make quick`: run `make` first")
    return {(r["method"], r["pairs"]): {k: float(r[k]) for k in ("mean", "low", "high")} for r in rows}


def test_everything_lies_between_random_and_the_oracle(means):
    chance, ceiling = means["random", "0"], means["oracle", "all"]
    for cell, row in means.items():
        no_hit = cell[0] in AT_CHANCE and row["high"] == 0  # of none in a bootstrap's samples the interval has no width
        assert row["high"] >= chance["low"] or no_hit, cell
        assert row["low"] <= ceiling["high"], cell


def test_ngw_beats_the_closed_forms_by_five_points_at_300_pairs(means):
    best = max(means[name, "300"]["mean"] for name in ("cca", "ridge", "procrustes", "relative"))
    assert means["ngw", "300"]["mean"] >= best + 0.05


def test_controls_are_at_chance(means):
    for cell, row in means.items():
        if cell[0] in AT_CHANCE:
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


def test_ngw_classifies_better_than_the_closed_forms_and_shuffled_pairs_at_chance():
    if not CLASSIFICATION.is_file():
        pytest.skip("results/tables/classification.csv isn't there: run `make` first")
    with open(CLASSIFICATION, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "top_1"]
    at = {(row["dataset"], row["method"], row["pairs"], row["unpaired"]): row for row in rows}
    for name in ("scenes-places", "scenes-nouns"):
        chance = float(at[name, "chance", "0", "none"]["mean"])
        probe = float(at[name, "linear-probe", "all", "none"]["mean"])
        for pairs in ("100", "300"):
            forms = [float(at[name, method, pairs, "shared"]["mean"]) for method in ("cca", "ridge", "procrustes")]
            assert max(forms) + 0.03 <= float(at[name, "ngw", pairs, "shared"]["mean"]) <= probe
            assert float(at[name, "shuffled", pairs, "shared"]["low"]) <= chance
