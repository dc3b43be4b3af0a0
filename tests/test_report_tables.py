"""Tables: complete and consistent, with the right numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from retrieval_runs import BAD, FAIR, GOOD, IMAGES, PAIR, collated, find, run, runs

from ngw import io
from ngw.errors import InputError
from ngw.report import frames, layout, render
from ngw.report.records import cell, check
from ngw.report.stages import PredictionFiles
from ngw.report.statistics import best_baseline_differences, holm, reference_differences
from ngw.report.tables import retrieval


@pytest.fixture
def records():
    return [record for record, _ in runs()]


@pytest.fixture
def ranks():
    return {cell(record): table for record, table in runs()}


@pytest.fixture
def rows():
    return collated()


def test_rows_by_hand(rows):
    row = find(rows, "ngw~epsilon=0.1", "30", "i2t_recall_1")
    assert (row["mean"], row["n_seeds"], row["role"]) == (0.625, 2, "method")  # of 0.75 and 0.5
    assert row["std"] == pytest.approx(0.25 / np.sqrt(2), rel=1e-5)  # n - 1 in the denominator
    assert row["low"] <= row["mean"] <= row["high"]
    assert find(rows, "cca", "all", "t2i_recall_5")["mean"] == 7 / 8
    assert find(rows, "cca", "all", "t2i_median_rank")["mean"] == 1.5
    assert find(rows, "oracle", "all", "t2i_mrr") | {"low": 1, "high": 1} == find(rows, "oracle", "all", "t2i_mrr")
    assert not find(rows, "ngw", "30", "i2t_mrr")["converged"]
    assert find(rows, "ngw", "all", "i2t_mrr")["converged"]
    assert len(rows) == 10 * 13


def test_one_seed_has_no_spread_and_says_so():
    record, table = run("ngw", "30", 0, FAIR)
    rows = retrieval.rows([record], retrieval.samples([record], {cell(record): table}, draws=50))
    assert set(zip(rows["std"], rows["n_seeds"], strict=True)) == {(0.0, 1)}
    shown = render.markdown(retrieval.main_tables(rows, PAIR, (4, 8))[0])
    assert "±" not in shown
    assert "**50.0°** / **50.0°**" in shown


def test_the_same_draws_give_the_same_rows(records, ranks, rows):
    assert rows.equals(retrieval.rows(records, retrieval.samples(records[::-1], ranks, draws=200)))


def test_pairs_of_encoders_on_one_data_set_keep_their_own_sizes():
    # Images by captions, and the same images by themselves in another encoder's space: 8 texts against 4.
    captions = run("ngw", "30", 0, FAIR)
    record, ranks = run("ngw", "30", 0, ([1, 1, 2, 4], [1] * 4), text="other", n_captions=4)
    ranks = {"direction": ["i2t"] * 4 + ["t2i"] * 4, "image_id": [*IMAGES.tolist()] * 2, "rank": ranks["rank"]}
    runs = {cell(one): (one, table) for one, table in (captions, (record, ranks))}
    files = retrieval.build(
        [one for one, _ in runs.values()], {who: table for who, (_, table) in runs.items()}, list(runs), draws=20
    )
    assert "(4 test images, 8 captions), effnet-lite0 and minilm-l6" in files["retrieval.md"]
    assert "(4 test images, 4 captions), effnet-lite0 and other" in files["retrieval.md"]
    changed = record | {"seed": 1, "n_captions": 3}
    with pytest.raises(InputError, match=r"n_captions is 4 in .* and 3 in"):
        check([record, changed], [cell(record), cell(changed)])


def test_a_missing_double_or_strange_cell_is_an_error(records):
    expected = [cell(record) for record in records]
    check(records, expected)
    with pytest.raises(InputError, match=r"ridge, pairs all, unpaired none, seed 1\) has no record"):
        check([r for r in records if cell(r) != (*PAIR, "ridge", "all", "none", 1)], expected)
    with pytest.raises(InputError, match=r"method ngw, pairs 30, unpaired none, seed 0\) has more than one record"):
        check([*records, records[0]], expected)
    with pytest.raises(
        InputError, match=r"method gw, pairs 30, unpaired none, seed 0\) has a record but isn't in the config"
    ):
        check([*records, run("gw", "30", 0, GOOD)[0]], expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task_version": 2}, "task_version is 1 in .* and 2 in"),
        ({"version": "0.2.0"}, "version is '0.1.0' in"),
        ({"n_captions": 9}, "n_captions is 8"),
        ({"pairs": 30}, "expected pairs as str, found 30"),
        ({"converged": None}, "expected converged as bool, found None"),
        ({"role": "hero"}, "found 'hero'"),
    ],
)
def test_records_of_different_kinds_share_no_table(records, changes, words):
    expected = [cell(record) for record in records]
    with pytest.raises(InputError, match=words):
        check([*records[:-1], records[-1] | changes], expected)


def test_a_record_without_a_field_is_named(records):
    del records[3]["n_images"]
    with pytest.raises(InputError, match=r"method ngw, .*seed 1\): expected n_images as int, found nothing"):
        check(records, [])


@pytest.mark.parametrize(
    ("column", "place", "value", "words"),
    [
        ("rank", 3, 1.0, r"the record's i2t_recall_1 is 0.75, its ranks give 1.0"),
        ("rank", 0, 0.0, "expected finite ranks of 1 or more, found 0.0"),
        ("image_id", 5, 12, "image 12 isn't in the other runs"),
        ("direction", 4, "i2t", r"counts \(4, 8\) images and captions, its ranks \(5, 7\)"),
    ],
)
def test_ranks_that_are_not_the_records_are_refused(records, ranks, column, place, value, words):
    ranks[cell(records[1])][column][place] = value
    with pytest.raises(InputError, match=words):
        retrieval.samples(records, ranks, draws=10)


def test_a_record_without_ranks_is_refused(records, ranks):
    del ranks[cell(records[2])]
    with pytest.raises(InputError, match=r"pairs all, unpaired none, seed 0\) has a record but no ranks"):
        retrieval.samples(records, ranks, draws=10)


def test_differences_compare_with_the_best_baseline(records, ranks):
    samples = retrieval.samples(records, ranks, draws=200)
    found = best_baseline_differences(retrieval.rows(records, samples), "mean_recall_1", samples).to_dict("records")
    assert {(row["method"], row["pairs"], row["baseline"]) for row in found} == {
        (method, pairs, "cca") for method in ("ngw", "ngw~epsilon=0.1") for pairs in ("30", "all")
    }
    assert found[0]["difference"] == pytest.approx((0.75 + 0.625) / 2 - (0.5 + 0.5) / 2)
    assert found[0]["low"] <= found[0]["difference"] <= found[0]["high"]
    files = retrieval.build(records, ranks, [cell(record) for record in records], draws=200)
    assert "| ngw | 30 | cca | +18.8† |" in files["retrieval.md"]


def test_every_row_stands_against_ngw_with_a_correction_for_their_number(records, ranks):
    samples = retrieval.samples(records, ranks, draws=200)
    rows = retrieval.rows(records, samples)
    rivals = reference_differences(rows, "mean_recall_1", "ngw", samples)
    found = rivals.to_dict("records")
    assert [(row["method"], row["pairs"]) for row in found] == [
        (method, pairs) for method in ("ngw~epsilon=0.1", "cca", "ridge") for pairs in ("30", "all")
    ]
    ridge = found[-1]
    assert ridge["difference"] == pytest.approx(-(0.75 + 0.625) / 2)
    assert ridge["p"] <= ridge["p_holm"] <= 3.001 * ridge["p"]  # three rows at this budget
    assert 0 < ridge["detectable"] < 1
    shown = "".join(map(render.markdown, layout.reference_tables(rivals, "pairs", "mean R@1")))
    assert "| cca † | -18.8† | -18.8 |" in shown
    assert re.search(r"\| ridge † \| -68\.8(\\\*)?† \|", shown)
    assert "| smallest detectable difference |" in shown
    others = rows[rows["method"] != "ngw"]
    assert reference_differences(others, "mean_recall_1", "ngw", samples).empty


def test_holms_correction_by_hand():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]


def test_published_numbers_stand_apart_with_their_source(records, ranks):
    published = [
        {"model": "CLIP & co", "dataset": "scenes", "i2t": 50.12, "t2i": 30.44, "source": "a readme"},
        {"model": "other", "dataset": "coco", "i2t": 1.0, "t2i": 2.0, "source": "a table"},
    ]
    files = retrieval.build(records, ranks, [cell(record) for record in records], draws=50, references=published)
    own, apart = files["retrieval.md"].split("## Published elsewhere")
    assert "CLIP" not in own
    assert "| CLIP &amp; co (a readme) | 50.1 / 30.4 |" in apart
    assert "not computed here" in apart
    assert "other" not in apart  # a data set that isn't run
    assert r"CLIP \& co (a readme) & 50.1 / 30.4 \\" in files["retrieval.tex"]
    assert "CLIP" not in files["retrieval.csv"] + files["retrieval.txt"]


def test_build_gives_every_file_and_checks_first(records, ranks):
    files = retrieval.build(records, ranks, [cell(record) for record in records], draws=50)
    assert set(files) == {
        "retrieval.csv", "retrieval.md", "retrieval.tex", "retrieval.txt", "retrieval-differences.csv",
        "retrieval-against-ngw.csv", "efficiency.csv", "efficiency.md", "efficiency.tex",
    }  # fmt: skip
    assert all(text.endswith("\n") for text in files.values())
    assert [line for line in files["retrieval.md"].splitlines() if line.startswith("#")] == [
        "# Image-text retrieval", "## scenes, effnet-lite0 and minilm-l6", "### In full", "## Against ngw",
    ]  # fmt: skip
    assert "with 0 pairs" not in files["retrieval.md"]  # at 0 there are controls only, and they stand everywhere
    with pytest.raises(InputError, match="has no record"):
        retrieval.build(records[1:], ranks, [cell(record) for record in records])


def test_the_main_tables_have_recall_at_1_and_at_10_and_say_where_the_others_are(records, ranks):
    files = retrieval.build(records, ranks, [cell(record) for record in records], draws=50)
    first, second = re.findall(r"^R@\d+ in per cent", files["retrieval.txt"], re.MULTILINE)
    assert (first, second) == ("R@1 in per cent", "R@10 in per cent")
    shown = files["retrieval.txt"].split(second)[1]
    assert re.search(r"^ngw † +– +100\.0†\* / 100\.0†\*", shown, re.MULTILINE)
    assert "°" not in shown  # chance is not the same both ways
    assert "R@5, MRR, median rank and FOSCTTM for each budget: see retrieval.md, In full." in " ".join(shown.split())
    assert "i2t R@5" in files["retrieval.md"].split("### In full")[1]
    labels = re.findall(r"\\label\{(.*?)\}", files["retrieval.tex"])
    assert len(labels) == len(set(labels))


def test_a_row_of_one_seed_is_compared_with_ngw_at_that_seed():
    # Seed 1's pairs are worse for any method. Over both seeds NGW has a mean below that of CCA's only seed.
    some = [run("ngw", "30", 0, GOOD), run("ngw", "30", 1, BAD), run("cca", "30", 0, GOOD, "baseline")]
    records = [record for record, _ in some]
    files = retrieval.build(records, {cell(r): table for r, table in some}, list(map(cell, records)), draws=50)
    for name in ("against-ngw", "differences"):
        found = frames.read_csv(files[f"retrieval-{name}.csv"])
        assert found[["difference", "p", "n_seeds"]].to_numpy(float).tolist() == [[0, 1, 1]]


def test_a_comparison_with_a_run_that_did_not_converge_has_its_dagger(records, ranks):
    # NGW's run of seed 1 did not converge at 30 pairs; with all pairs every run did.
    files = retrieval.build(records, ranks, [cell(record) for record in records], draws=50)
    full, against = files["retrieval.md"].split("## Against ngw")
    assert [re.findall("†", line) for line in against.splitlines() if line.startswith("| ridge")] == [["†", "†"]]
    best = [
        line.split("|")[1:5] for line in full.split("Against the best baseline")[1].splitlines() if "| cca |" in line
    ]
    # The number alone has it: which of the two methods did not converge stands in the tables of recalls.
    assert [(cells[1].strip(), "†" in cells[0] + cells[2], "†" in cells[3]) for cells in best[:2]] == [
        ("30", False, True), ("all", False, False)
    ]  # fmt: skip
    for text in (full.split("Against the best baseline")[1], against):
        assert "† a run behind this number did not converge; its record says why." in text
    rows = frames.read_csv(files["retrieval-against-ngw.csv"]).set_index(["method", "pairs"])["converged"]
    assert (rows["ridge", "30"], rows["ridge", "all"]) == (False, True)


def test_only_numbers_whose_interval_holds_chance_are_marked(rows):
    # With 1,000 test images chance is 0.1 per cent: random's interval holds it, the oracle's doesn't.
    lines = render.markdown(retrieval.main_tables(rows, PAIR, (1000, 5000))[0]).splitlines()
    marked = {line.split("|")[1].strip(" *"): "°" in line for line in lines if line.startswith("|")}
    assert marked["random"]
    assert not marked["oracle"]


def test_an_interval_that_begins_at_chance_is_marked_where_chance_is_no_round_number(rows):
    # One image of 600 is 0.001666..., which the rows hold as 0.00166667.
    at_chance = frames.rounded(rows.assign(mean=0.01, low=1 / 600), ["low"])
    (table,) = retrieval.main_tables(at_chance, PAIR, (600, 3000))
    assert {number.text[-1] for line in table.lines for cell in line.cells for number in cell} == {"°"}


def test_predictions_are_read_when_they_are_asked_for(tmp_path):
    io.write_table(tmp_path / "a.parquet", {"rank": [1.0, 3.0]})
    files = PredictionFiles({("a",): str(tmp_path / "a.parquet"), ("b",): str(tmp_path / "gone.parquet")}, ["rank"])
    assert list(files) == [("a",), ("b",)]
    assert ("b",) in files
    assert ("c",) not in files
    assert files["a",] == {"rank": [1.0, 3.0]}
    with pytest.raises(InputError, match=r"gone\.parquet: no such table"):
        files["b",]
