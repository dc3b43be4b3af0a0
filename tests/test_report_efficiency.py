"""Quality against cost: the table's numbers, the front by hand, and the sum of Snakemake's benchmark files."""

from __future__ import annotations

import pytest

from ngw.errors import InputError
from ngw.report.tables import efficiency
from ngw.report.tables.efficiency import Point

PAIR = ("scenes", "effnet-lite0", "minilm-l6")


def record(method, pairs, seed, quality, seconds, role="method", **cost):
    """A run's record, as far as the efficiency table reads it."""
    return {
        "dataset": PAIR[0], "vision": PAIR[1], "text": PAIR[2], "method": method, "pairs": pairs,
        "unpaired": "none", "seed": seed, "role": role, "converged": True, "metrics": {"mean_recall_1": quality},
        "cost": {"train_seconds": seconds, "peak_memory_mb": 100.0, "parameters": 1234567, **cost},
    }  # fmt: skip


@pytest.fixture
def records():
    """Two methods at two budgets and two seeds, one without pairs, a control."""
    return [
        *(record("ngw", pairs, seed, 0.5 + seed / 10, 1.5 + seed) for pairs in ("30", "all") for seed in (0, 1)),
        *(record("cca", pairs, seed, 0.4, 0.5, "baseline") for pairs in ("30", "all") for seed in (0, 1)),
        record("averaged", "0", 0, 0.01, 60.0, "baseline"),
        record("random", "0", 0, 0.0, 0.1, "control"),
    ]


def test_rows_are_means_over_seeds_and_the_table_shows_the_largest_budget(records):
    rows = efficiency.rows(records)
    found = {(row["method"], row["pairs"], row["metric"]): row for row in rows.to_dict("records")}
    row = found["ngw", "30", "train_seconds"]
    assert (row["mean"], row["low"], row["high"]) == (2.0, 1.5, 2.5)
    shown = efficiency.build(records)["efficiency.md"]
    assert "| ngw (all pairs) | **55.0** ± 7.1 | 2.0 ± 0.7 | 100 ± 0 | 1,234,567 |" in shown
    assert "| averaged (0 pairs) | 1.0 | 60.0 | 100 | 1,234,567 |" in shown
    assert "| *random (0 pairs)* |" in shown
    assert "30 pairs" not in shown
    assert "codecarbon" not in shown
    assert r"\toprule" in efficiency.build(records)["efficiency.tex"]


def test_what_some_runs_measured_is_a_column_and_a_dash_for_the_others(records):
    records[4:8] = [r | {"cost": r["cost"] | {"energy_wh": 2.5}} for r in records[4:8]]
    shown = efficiency.build(records)["efficiency.md"]
    assert "| cca (all pairs) | 40.0 ± 0.0 | 0.5 ± 0.0 | 100 ± 0 | 2.50 ± 0.00 | 1,234,567 |" in shown
    assert "| averaged (0 pairs) | 1.0 | 60.0 | 100 | – | 1,234,567 |" in shown
    assert "codecarbon's estimates" in shown
    assert "– not measured." in shown
    assert "not run at this budget" not in shown


def test_a_cost_that_every_run_has_must_be_there(records):
    del records[0]["cost"]["peak_memory_mb"]
    with pytest.raises(InputError, match="expected peak_memory_mb as a number, found"):
        efficiency.rows(records)


def test_points_are_those_of_the_budget_and_of_methods_without_pairs(records):
    records[0]["cost"]["cpu_seconds"] = records[1]["cost"]["cpu_seconds"] = 7.0
    found = {point.method: point for point in efficiency.points(efficiency.rows(records), "30")}
    assert found.keys() == {"ngw", "cca", "averaged"}
    assert found["ngw"] == Point("ngw", 7.0, pytest.approx(55))  # CPU seconds, where they are known
    assert found["cca"].seconds == 0.5
    assert found["averaged"].seconds == 60


def test_the_front_holds_what_nothing_cheaper_reaches():
    cheap, worse, dear, waste = Point("a", 1, 20), Point("b", 2, 10), Point("c", 3, 30), Point("d", 9, 30)
    assert efficiency.front([waste, dear, worse, cheap]) == [cheap, dear]
    assert efficiency.front([Point("e", 1, 5), cheap]) == [cheap]  # of two of one cost the better one


def test_the_figure_has_panels_for_the_two_largest_budgets(records):
    figure = efficiency.figure(efficiency.rows(records), PAIR)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["30 pairs", "all pairs"]
    low, high = figure.axes[1].get_ylim()
    assert low < 0 < 55 < high
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["best at its cost", "ngw", "cca", "averaged"]


HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
FIT = "10.5\t0:00:10\t300.5\t900\t200\t210\t0\t0\t90\t8.25\n"
SHORT = "0.5\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\tNA\n"


def test_stages_sum_jobs_by_rule():
    found = efficiency.stages({"fit/a.tsv": HEAD + FIT, "fit/b.tsv": HEAD + SHORT, "captions.x.y.tsv": HEAD + FIT})
    assert list(found.drop(columns="peak_memory_mb").itertuples(index=False, name=None)) == [
        ("fit", 2, 11.0, 8.75, 10.5),  # the short job's seconds stand for its processor's
        ("captions", 1, 10.5, 8.25, 10.5),
    ]
    files = efficiency.stages_files(found)
    assert files["stages.csv"].splitlines()[1] == "fit,2,11.000,8.750,10.500,300.500"
    assert "| fit | 2 | 11 | 51.2 | 9 | 10.5 | 300 |" in files["stages.md"]
    assert "| all | 3 | 22 | 100 | 17 | 10.5 | 300 |" in files["stages.md"]


def test_stages_of_jobs_too_short_to_sample_have_no_memory():
    stages = efficiency.stages({"vqa/a.tsv": HEAD + SHORT})
    assert "| vqa | 1 | 0 | 100.0 | 0 | 0.5 | – |" in efficiency.stages_files(stages)["stages.md"]


def test_a_file_that_is_no_benchmark_is_refused():
    with pytest.raises(InputError, match=r"fit/a\.tsv: expected a benchmark file of Snakemake"):
        efficiency.stages({"fit/a.tsv": "method,score\ncca,1\n"})
