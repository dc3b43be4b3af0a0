"""Ablations' table and figure: numbers by hand, a panel an option, and the jobs that a config asks for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ngw import config
from ngw.config import Config
from ngw.errors import InputError
from ngw.metrics.retrieval import summary
from ngw.report.frames import read_csv
from ngw.report.style import encode
from ngw.report.tables import ablations as report

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
GROUPS = [
    {"base": base, "unpaired": "shared", "option": option, "rows": [[value, name, "shared"] for value, name in rows]}
    for base, option, rows in (
        ("ngw", "epsilon", [("0.01", "ngw~epsilon=0.01"), ("0.02", "ngw")]),
        ("ngw", "cost", [("cca", "ngw"), ("raw", "ngw~cost=raw")]),
    )
]
HITS = {"ngw": 3, "ngw~epsilon=0.01": 2, "ngw~cost=raw": 0}  # of the four images
BUDGET = {"ngw~cost=raw": "0"}
SUPPORT = {"ngw": 20.0, "ngw~epsilon=0.01": 1.0}


def runs(hits=HITS, unpaired="shared", seeds=(0, 1)) -> tuple[list[dict], dict]:
    """Records and ranks of four images and captions each; seed 1 of the base finds one image less."""
    records, ranks = [], {}
    for method, found in hits.items():
        for seed in seeds:
            found = np.where(np.arange(4) < hits[method] - (seed if method == "ngw" else 0), 1.0, 3.0)
            who = ("points", "v", "t", method, BUDGET.get(method, "16"), unpaired, seed)
            names = ("dataset", "vision", "text", "method", "pairs", "unpaired", "seed")
            records.append({
                **dict(zip(names, who, strict=True)), "role": "method", "task": "retrieval", "task_version": 1,
                "version": "0", "cost": {}, "converged": method != "ngw~cost=raw", "n_images": 4, "n_captions": 4,
                "metrics": summary(found, np.full(4, 1.0)), "step": 30 * seed,
                "plan": {"effective_support": SUPPORT[method] + seed} if method in SUPPORT else None,
            })  # fmt: skip
            both = np.concatenate([found, np.full(4, 1.0)])
            ids = np.tile(np.arange(4), 2)
            ranks[who] = {"direction": np.repeat(["i2t", "t2i"], 4), "image_id": ids, "rank": both}
    return records, ranks


def test_numbers_of_the_table_by_hand():
    records, ranks = runs()
    files = report.build(records, ranks, list(ranks), GROUPS)
    rows = {(r["option"], r["value"], r["metric"]): r for r in read_csv(files["ablations.csv"]).to_dict("records")}
    assert len(rows) == 4 * 3
    base = rows["epsilon", "0.02", "mean_recall_1"]
    assert base["mean"] == pytest.approx((0.75 + 0.5) / 2 / 2 + 0.5)  # text to image: all found, always
    assert (base["step"], base["support"]) == (15, 20.5)
    assert np.isnan(base["difference"])
    changed = rows["epsilon", "0.01", "mean_recall_1"]
    assert changed["mean"] == pytest.approx(0.75)
    assert changed["difference"] == pytest.approx(0.75 - 0.8125)
    assert changed["difference_low"] <= changed["difference"] <= changed["difference_high"] <= 0
    raw = rows["cost", "raw", "i2t_recall_1"]
    assert (raw["mean"], raw["pairs"], raw["difference"]) == (0, "0", -0.625)
    assert np.isnan(raw["support"])
    lines = files["ablations.md"].splitlines()
    assert any(
        line.startswith("| epsilon | 0.02 | 62.5 ± 17.7 | 100.0 ± 0.0 | 81.2 ± 8.8 | base | – | 15 | 20.5")
        for line in lines
    )
    assert any(
        line.startswith("| cost † | raw (0 pairs) | 0.0 ± 0.0 | 100.0 ± 0.0 | 50.0 ± 0.0 | -31.2 |") for line in lines
    )
    assert files["ablations.tex"].count(r"\begin{tabular}") == 1


def test_a_difference_to_a_base_that_did_not_converge_has_its_dagger():
    records, ranks = runs()
    for record in records:
        record["converged"] = record["method"] != "ngw"
    files = report.build(records, ranks, list(ranks), GROUPS)
    lines = [line for line in files["ablations.md"].splitlines() if re.match(r"\| (epsilon|cost)", line)]
    assert len(lines) == 4
    assert all("†" in line for line in lines)
    assert not read_csv(files["ablations.csv"])["converged"].any()


def test_a_missing_cell_is_an_error():
    records, ranks = runs()
    with pytest.raises(InputError, match="has no record"):
        report.build(records[1:], ranks, list(ranks), GROUPS)
    with pytest.raises(InputError, match="expected values to vary, found none"):
        report.build([], {}, [], [])


def test_the_figure_has_a_panel_an_option_with_the_base_filled():
    records, ranks = runs()
    rows = read_csv(report.build(records, ranks, list(ranks), GROUPS)["ablations.csv"])
    figure = report.figure(rows, ("points", "v", "t"))
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["epsilon", "cost", "support, by epsilon"]
    ticks = [[label.get_text() for label in axes.get_xticklabels()] for axes in shown]
    assert ticks == [["0.01", "0.02"], ["cca", "raw"], ["0.01", "0.02"]]
    assert [list(line.get_ydata()) for line in shown[2].lines] == [[1.5, 20.5], [1.5], [20.5]]
    assert encode(figure, "png") == encode(report.figure(rows, ("points", "v", "t")), "png")


def settings() -> tuple[list[dict], dict, list[dict]]:
    """Runs of two methods in two settings, and their panel."""
    (records, ranks), (more, others) = runs({"ngw": 3, "cca": 2}), runs({"ngw": 2, "cca": 2}, "foreign")
    groups = [
        {"base": base, "unpaired": "shared", "option": "setting", "rows": [[s, base, s] for s in ("shared", "foreign")]}
        for base in ("ngw", "cca")
    ]
    return records + more, ranks | others, groups


def test_a_panel_of_settings_compares_a_method_with_itself_in_another():
    records, ranks, groups = settings()
    files = report.build(records, ranks, list(ranks), groups)
    rows = read_csv(files["ablations.csv"])
    rows = {(r["base"], r["value"]): r for r in rows.to_dict("records") if r["metric"] == "i2t_recall_1"}
    assert len(rows) == 4
    assert rows["ngw", "foreign"]["difference"] == -0.25
    assert rows["cca", "foreign"]["difference"] == 0
    assert np.isnan([rows[base, "shared"]["difference"] for base in ("ngw", "cca")]).all()
    assert [rows["cca", s]["unpaired"] for s in ("shared", "foreign")] == ["shared", "foreign"]
    text = files["ablations.md"]
    assert "Ablations of ngw, 16 pairs, unpaired rows shared" in text
    assert "| setting (of cca) | foreign | 50.0 ± 0.0 " in text


def test_bases_of_one_option_share_a_panel():
    records, ranks, groups = settings()
    figure = report.figure(
        read_csv(report.build(records, ranks, list(ranks), groups)["ablations.csv"]), ("points", "v", "t")
    )
    (axes,) = [axes for axes in figure.axes if axes.get_visible()]
    assert axes.get_title(loc="left") == "setting"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["shared", "foreign"]
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named[:2] == ["ngw, unchanged", "cca, unchanged"]
    drawn = {(line.get_color(), line.get_marker()) for line in axes.lines if len(line.get_xdata()) == 1}
    assert len(drawn) == len(dict(drawn)) == 2  # told apart by colour and by marker


def test_without_plans_there_is_no_panel_of_their_support():
    records, ranks = runs()
    rows = read_csv(report.build([r | {"plan": None} for r in records], ranks, list(ranks), GROUPS)["ablations.csv"])
    assert len(report.figure(rows, ("points", "v", "t")).axes) == 2


def test_what_a_panel_calls_values_that_share_a_name():
    assert report._words(["linear", "mlp, steps=300, cycle=0", "mlp, steps=600"]) == [
        "linear", "mlp, steps=300", "mlp, steps=600"
    ]  # fmt: skip
    assert report._words(["mlp, steps=300", "0.1"]) == ["mlp", "0.1"]


def test_null_has_a_word_of_each_option():
    words = [report._word(option, value) for option, value in (
        ("unpaired_rows", "null"), ("smoothness", "null, steps=3"), ("unpaired_rows", "4"), ("other", "null"),
    )]  # fmt: skip
    assert words == ["all", "ridge, steps=3", "4", "null"]


@pytest.mark.workflow
@pytest.mark.parametrize("target", ["all", "all_ablations"])
def test_a_dry_run_lists_the_derived_methods(target, tmp_path):
    tiny = ROOT / "tests" / "config.yaml"
    options = {"--snakefile": ROOT / "workflow" / "Snakefile", "--directory": tmp_path, "--configfile": tiny}
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, "-m", "snakemake", target, "--dry-run", "--printshellcmds", "--cores", "1", *words]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = set(re.findall(r'"folder": "[^"]*/([^/"]*~[^/"]*)"', done.stdout + done.stderr))
    grid = Config(config.read(tiny), SCHEMA).ablation_grid(full=target != "all")
    derived = {name for name in grid["methods"] if "~" in name}
    assert derived
    assert derived <= listed
    foreign = re.findall(r"input: .*/features/scenes-elsewhere/train/minilm-l6.*\n.*(?:ngw|cca)~/runs\.", done.stdout)
    assert len(foreign) >= 3  # transport and maps of ngw, fit of cca
