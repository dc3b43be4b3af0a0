"""The ablations: less data for a method, the methods that a config derives, the table and the figure."""

from __future__ import annotations

import copy
import functools
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
from ngw.methods._given import mislead, place, thin
from ngw.methods.warp import Warp
from ngw.metrics.retrieval import summary
from ngw.report import ablations as report
from ngw.report.style import encode

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"


# Less data.


def test_unpaired_rows_are_a_multiple_of_the_pairs_and_nested():
    known = np.array([7, 3, 40])
    rows = {much: thin(50, known, much, 3, 0, "x") for much in (0, 1, 4, 99)}
    assert rows[0].tolist() == [3, 7, 40]
    assert [len(found) for found in rows.values()] == [3, 6, 15, 50]
    for less, more in ((0, 1), (1, 4), (4, 99)):
        assert set(rows[less]) < set(rows[more])
    assert (thin(50, known, 4, 3, 0, "x") == rows[4]).all()
    assert (thin(50, known, 4, 3, 0, "y") != rows[4]).any()  # each side draws by itself
    assert (thin(50, known, 4, 3, 1, "x") != rows[4]).any()


def test_places_among_the_rows_that_stay():
    assert place(np.array([3, 7, 40]), np.array([40, 3, 4, 41, 0])).tolist() == [2, 0, -1, -1, -1]


@pytest.mark.parametrize(("noise", "wrong"), [(0.3, 3), (1.0, 10), (0.01, 2)])
def test_noise_is_the_share_of_wrong_pairs(noise, wrong):
    pairs = np.stack([np.arange(10), 50 + np.arange(10)[::-1]], axis=1)
    found = mislead(pairs, noise, seed=4)
    assert (found[:, 0] == pairs[:, 0]).all()
    assert sorted(found[:, 1]) == sorted(pairs[:, 1])
    assert (found[:, 1] != pairs[:, 1]).sum() == wrong
    assert (mislead(pairs, noise, seed=4) == found).all()


def test_noise_knows_two_captions_of_one_image():
    pairs = np.stack([np.arange(20) // 2, np.arange(20)], axis=1)
    found = mislead(pairs, 1.0, seed=0)
    assert not (found[:, 1] // 2 == found[:, 0]).any()


def spaces(n: int = 60, known: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two linear views of the same points, rows of y permuted: x [n, 9], y [n, 7], known pairs, true pairs."""
    stream = np.random.default_rng(0)
    z, order = stream.standard_normal((n, 5)), stream.permutation(n)
    truth = np.stack([order, np.arange(n)], axis=1)
    x, y = z @ stream.standard_normal((5, 9)), z[order] @ stream.standard_normal((5, 7))
    return x, y, truth[stream.permutation(n)[:known]], truth


@pytest.mark.parametrize("less", [{"unpaired": 0}, {"unpaired": 2}, {"noise": 0.3}, {"unpaired": 1.5, "noise": 0.5}])
def test_both_stages_see_the_same_subset(less):
    x, y, pairs, truth = spaces()
    warp, twin = (Warp(steps=0, **less) for _ in range(2))
    plan = warp.solve(x, y, pairs, 3, truth)
    rows = 60 if "unpaired" not in less else round(10 + 10 * less["unpaired"])
    assert (len(plan.to_y), len(plan.to_x)) == (rows, rows)
    twin.fit_maps(x, y, pairs, plan, 3)
    whole = Warp(steps=0, **less).fit(x, y, pairs, 3)
    np.testing.assert_array_equal(twin.transform(x), whole.transform(x))
    assert (whole.transform(x) != Warp(steps=0).fit(x, y, pairs, 3).transform(x)).any()


def test_the_pairs_alone_are_a_fit_to_the_pairs_rows():
    x, y, pairs, truth = spaces()
    found = Warp(steps=0, unpaired=0).fit(x, y, pairs, 3)
    rows = [np.sort(side) for side in pairs.T]
    placed = np.stack([np.searchsorted(r, side) for r, side in zip(rows, pairs.T, strict=True)], axis=1)
    alone = Warp(steps=0).fit(x[rows[0]], y[rows[1]], placed, 3)
    np.testing.assert_array_equal(found.transform(x), alone.transform(x))
    assert found.plan_.reason == "every row is a known pair"
    everything = Warp(steps=0, unpaired=99).solve(x, y, pairs, 3, truth)  # more than there is
    whole = Warp(steps=0).solve(x, y, pairs, 3, truth)
    np.testing.assert_array_equal(everything.to_y, whole.to_y)
    assert everything.true_mass == whole.true_mass


def test_a_plan_of_another_subset_is_refused():
    x, y, pairs, _ = spaces()
    plan = Warp(unpaired=1).solve(x, y, pairs, 3)
    with pytest.raises(InputError, match="expected a plan of 60 x 60 rows, found 20 x 20"):
        Warp().fit_maps(x, y, pairs, plan, 3)


def test_what_a_subset_cannot_be():
    x, y, pairs, _ = spaces()
    with pytest.raises(InputError, match="expected 4 known pairs or more, found 0"):
        Warp(unpaired=1, noise=0.5).fit(x, y)
    with pytest.raises(InputError, match="expected rows below 60 and 60"):
        Warp(noise=0.5).fit(x, y, pairs + 60)
    for options, words in (
        ({"unpaired": -1}, "unpaired is 0 or more"),
        ({"noise": 1.5}, r"noise is a share in \[0, 1\]"),
        ({"noise": float("nan")}, "noise is a share"),
        ({"cost": "raw", "unpaired": 1}, "for costs that take known pairs, which 'raw' doesn't"),
        ({"cost": "gw", "noise": 0.1}, "which 'gw' doesn't"),
    ):
        with pytest.raises(ValueError, match=words):
            Warp(**options)


# The methods that a config derives.


def panel(option: str, *values, method: str = "ngw") -> dict:
    return {"method": method, "option": option, "values": list(values)}


def values(*path, value=None) -> dict:
    """The tiny config with another value in one place."""
    found = copy.deepcopy(config.read(ROOT / "tests" / "config.yaml"))
    found["tables"]["ablations"] = {"vary": [panel("epsilon", 0.1)], "pairs": 16, "seeds": [0]}
    if path:
        functools.reduce(lambda place, key: place[key], path[:-1], found["tables"]["ablations"])[path[-1]] = value
    return found


def test_a_value_becomes_a_derived_method_that_reads_back():
    good = Config(values(), SCHEMA)
    for option, value, name in (
        ("epsilon", 0.1, "ngw~epsilon=0.1"),
        ("learning_rate", 1e-5, "ngw~learning_rate=1.0e-05"),  # YAML reads 1e-05 as text
        ("pinned", False, "ngw~pinned=false"),
        ("smoothness", 0, "ngw~smoothness=0"),
        ("cost", "wasserstein-procrustes", "ngw~cost=wasserstein-procrustes"),
        ("unpaired", 1, "ngw~unpaired=1"),
        ("whiten", None, "ngw~whiten=null"),
    ):
        assert good.derived("ngw", option, value)[1] == name
        assert good.method_spec(name)[option] == value
        good.method(name)
    label, name = good.derived("ngw", "map", {"map": "mlp", "steps": 300, "pinned": True})
    assert label == "mlp, steps=300, pinned=true"
    assert name == "ngw~map=mlp~steps=300"  # pinned it is already
    assert good.derived("ngw", "dims", 32) == ("32", "ngw")  # the config's own value, not the class's default
    assert good.derived("ngw~dims=8", "dims", 32)[1] == "ngw~dims=8~dims=32"
    assert good.method("ngw~dims=8~dims=32").dims == 32


def test_groups_hold_the_base_once_and_stand_in_the_order_of_numbers():
    vary = [
        panel("epsilon", 0.2, 0.001), panel("unpaired", 4, None, 0), panel("cost", "raw"),
        panel("cycle", 0, method="ngw~map=mlp"),
    ]  # fmt: skip
    more = [panel("epsilon", 0.1, 0.2), panel("noise", 0.3)]
    good = Config(values("vary", value=vary), SCHEMA)
    own = str(good.method("ngw").epsilon)
    groups = {(g["base"], g["option"]): g["rows"] for g in good.ablation_groups()}
    assert groups["ngw", "epsilon"] == [
        ["0.001", "ngw~epsilon=0.001"], [own, "ngw"], ["0.2", "ngw~epsilon=0.2"]
    ]  # fmt: skip
    assert [row[0] for row in groups["ngw", "unpaired"]] == ["0", "4", "null"]
    assert groups["ngw", "unpaired"][2][1] == "ngw"
    assert groups["ngw", "cost"][0] == [good.method("ngw").cost, "ngw"]
    assert ["0", "ngw~map=mlp~cycle=0"] in groups["ngw~map=mlp", "cycle"]
    full = values("vary", value=vary)
    full["tables"]["ablations"]["full"] = {"vary": more, "seeds": [0, 1]}
    good = Config(full, SCHEMA)
    short, full = good.ablation_grid(), good.ablation_grid(full=True)
    assert short["methods"].keys() < full["methods"].keys() <= set(good.selected())
    assert (short["seeds"], full["seeds"]) == ([0], [0, 1])
    assert short["methods"]["ngw"] == ["16"]
    assert short["methods"]["ngw~cost=raw"] == ["0"]  # it takes no pairs
    assert [row[0] for row in full["groups"][0]["rows"]] == ["0.001", own, "0.1", "0.2"]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (
            ["vary"],
            [panel("epsilon", 1, method="nwg")],
            ["tables.ablations.vary", "method 'nwg'", "Did you mean 'ngw'?"],
        ),
        (["vary"], [panel("epsilno", 1)], ["ngw~epsilno=1", "Did you mean 'epsilon'?"]),
        (["vary"], [panel("epsilon", -1)], ["ngw~epsilon=-1", "epsilon is a positive number"]),
        (["vary"], [panel("map", {"steps": 3})], ["expected 'map' among {'steps': 3}"]),
        (["vary"], [panel("cost", "a/b")], ["tables.ablations.vary.0.values.0"]),
        (["pairs"], 49, ["tables.ablations.pairs: a budget of 49 is larger than the train split"]),
        (["sedes"], [0], ["unknown key 'sedes'", "Did you mean 'seeds'?"]),
        (["vary"], [panel("cycle", 0, method="ngw~epsilon=0")], ["ngw~epsilon=0", "positive number"]),
    ],
)
def test_what_is_wrong_with_an_ablation_is_told(path, value, words):
    with pytest.raises(InputError, match=r"^config: ") as caught:
        Config(values(*path, value=value), SCHEMA)
    for word in words:
        assert word in str(caught.value)


# The table and the figure.

GROUPS = [
    {"base": "ngw", "option": "epsilon", "rows": [["0.01", "ngw~epsilon=0.01"], ["0.02", "ngw"]]},
    {"base": "ngw", "option": "cost", "rows": [["cca", "ngw"], ["raw", "ngw~cost=raw"]]},
]
HITS = {"ngw": 3, "ngw~epsilon=0.01": 2, "ngw~cost=raw": 0}  # of the four images
BUDGET = {"ngw~cost=raw": "0"}


def runs(seeds=(0, 1)) -> tuple[list[dict], dict]:
    """Records and ranks of four images and captions each; seed 1 of the base finds one image less."""
    records, ranks = [], {}
    for method, hits in HITS.items():
        for seed in seeds:
            found = np.where(np.arange(4) < hits - (seed if method == "ngw" else 0), 1.0, 3.0)
            who = ("points", "v", "t", method, BUDGET.get(method, "16"), seed)
            names = ("dataset", "vision", "text", "method", "pairs", "seed")
            records.append({
                **dict(zip(names, who, strict=True)), "role": "method", "task": "retrieval", "task_version": 1,
                "version": "0", "cost": {}, "converged": method != "ngw~cost=raw", "n_images": 4, "n_captions": 4,
                "metrics": summary(found, np.full(4, 1.0)), "step": 30 * seed,
            })  # fmt: skip
            both = np.concatenate([found, np.full(4, 1.0)])
            ids = np.tile(np.arange(4), 2)
            ranks[who] = {"direction": np.repeat(["i2t", "t2i"], 4), "image_id": ids, "rank": both}
    return records, ranks


def test_numbers_of_the_table_by_hand():
    records, ranks = runs()
    files = report.build(records, ranks, list(ranks), GROUPS)
    rows = {(r["option"], r["value"], r["metric"]): r for r in report.from_csv(files["ablations.csv"])}
    assert len(rows) == 4 * 3
    base = rows["epsilon", "0.02", "mean_recall_1"]
    assert base["mean"] == pytest.approx((0.75 + 0.5) / 2 / 2 + 0.5)  # text to image: all found, always
    assert (base["difference"], base["step"]) == ("", 15)
    changed = rows["epsilon", "0.01", "mean_recall_1"]
    assert changed["mean"] == pytest.approx(0.75)
    assert changed["difference"] == pytest.approx(0.75 - 0.8125)
    assert changed["difference_low"] <= changed["difference"] <= changed["difference_high"] <= 0
    raw = rows["cost", "raw", "i2t_recall_1"]
    assert (raw["mean"], raw["pairs"], raw["difference"]) == (0, "0", -0.625)
    lines = files["ablations.md"].splitlines()
    assert any(
        line.startswith("| epsilon | 0.02 | 62.5 ± 17.7 | 100.0 ± 0.0 | 81.2 ± 8.8 | base | – | 15") for line in lines
    )
    assert any(
        line.startswith("| cost † | raw (0 pairs) | 0.0 ± 0.0 | 100.0 ± 0.0 | 50.0 ± 0.0 | -31.2 |") for line in lines
    )
    assert files["ablations.tex"].count(r"\begin{tabular}") == 1


def test_a_missing_cell_is_an_error():
    records, ranks = runs()
    with pytest.raises(InputError, match="has no record"):
        report.build(records[1:], ranks, list(ranks), GROUPS)
    with pytest.raises(InputError, match="expected values to vary, found none"):
        report.build([], {}, [], [])


def test_the_figure_has_a_panel_an_option_with_the_base_filled():
    records, ranks = runs()
    rows = report.from_csv(report.build(records, ranks, list(ranks), GROUPS)["ablations.csv"])
    figure = report.figure(rows, ("points", "v", "t"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["epsilon", "cost"]
    ticks = [[label.get_text() for label in axes.get_xticklabels()] for axes in figure.axes]
    assert ticks == [["0.01", "0.02"], ["cca", "raw"]]
    assert encode(figure, "png") == encode(report.figure(rows, ("points", "v", "t")), "png")


def test_what_a_panel_calls_values_that_share_a_name():
    assert report._words(["linear", "mlp, steps=300, cycle=0", "mlp, steps=600"]) == [
        "linear", "mlp, steps=300", "mlp, steps=600"
    ]  # fmt: skip
    assert report._words(["mlp, steps=300", "0.1"]) == ["mlp", "0.1"]


def test_null_is_told_in_its_options_own_word():
    said = [report._said({"option": option, "value": value}) for option, value in (
        ("unpaired", "null"), ("smoothness", "null, steps=3"), ("unpaired", "4"), ("other", "null"),
    )]  # fmt: skip
    assert said == ["all", "ridge, steps=3", "4", "null"]


@pytest.mark.workflow
@pytest.mark.parametrize("target", ["all", "all_ablations"])
def test_a_dry_run_lists_the_derived_methods(target, tmp_path):
    tiny = ROOT / "tests" / "config.yaml"
    options = {"--snakefile": ROOT / "workflow" / "Snakefile", "--directory": tmp_path, "--configfile": tiny}
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, "-m", "snakemake", target, "--dry-run", "--cores", "1", *words]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = set(re.findall(r"output: .*/(ngw~[^/]*)/pairs\d+/seed\d+/plan", done.stdout + done.stderr))
    grid = Config(config.read(tiny), SCHEMA).ablation_grid(full=target != "all")
    derived = {name for name in grid["methods"] if "~" in name}
    assert derived
    assert derived <= listed
