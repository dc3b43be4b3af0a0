"""The ablations: less data for a method, the methods that a config derives, the table and the figure."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_config import SCHEMA, refused, tiny

from ngw import methods
from ngw.config import Config
from ngw.errors import InputError
from ngw.methods._given import mislead, place, thin
from ngw.methods.warp import Warp

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


@pytest.mark.parametrize(
    "less", [{"unpaired_rows": 0}, {"unpaired_rows": 2}, {"noise": 0.3}, {"unpaired_rows": 1.5, "noise": 0.5}]
)
def test_both_stages_see_the_same_subset(less):
    x, y, pairs, truth = spaces()
    warp, twin = (Warp(steps=0, **less) for _ in range(2))
    plan = warp.solve(x, y, pairs, 3, truth)
    rows = 60 if "unpaired_rows" not in less else round(10 + 10 * less["unpaired_rows"])
    assert (len(plan.to_y), len(plan.to_x)) == (rows, rows)
    twin.fit_maps(x, y, pairs, plan, 3)
    whole = Warp(steps=0, **less).fit(x, y, pairs, 3)
    np.testing.assert_array_equal(twin.transform(x), whole.transform(x))
    assert (whole.transform(x) != Warp(steps=0).fit(x, y, pairs, 3).transform(x)).any()


def test_the_pairs_alone_are_a_fit_to_the_pairs_rows():
    x, y, pairs, truth = spaces()
    found = Warp(steps=0, unpaired_rows=0).fit(x, y, pairs, 3)
    rows = [np.sort(side) for side in pairs.T]
    placed = np.stack([np.searchsorted(r, side) for r, side in zip(rows, pairs.T, strict=True)], axis=1)
    alone = Warp(steps=0).fit(x[rows[0]], y[rows[1]], placed, 3)
    np.testing.assert_array_equal(found.transform(x), alone.transform(x))
    assert found.plan_.reason == "every row is a known pair"
    everything = Warp(steps=0, unpaired_rows=99).solve(x, y, pairs, 3, truth)  # more than there is
    whole = Warp(steps=0).solve(x, y, pairs, 3, truth)
    np.testing.assert_array_equal(everything.to_y, whole.to_y)
    assert everything.true_mass == whole.true_mass


def test_a_plan_of_another_subset_is_refused():
    x, y, pairs, _ = spaces()
    plan = Warp(unpaired_rows=1).solve(x, y, pairs, 3)
    with pytest.raises(InputError, match="expected a plan of 60 x 60 rows, found 20 x 20"):
        Warp().fit_maps(x, y, pairs, plan, 3)


def test_what_a_subset_cannot_be():
    x, y, pairs, _ = spaces()
    with pytest.raises(InputError, match="expected 4 known pairs or more, found 0"):
        Warp(unpaired_rows=1, noise=0.5).fit(x, y)
    with pytest.raises(InputError, match="expected rows below 60 and 60"):
        Warp(noise=0.5).fit(x, y, pairs + 60)


PEERS = ["cca", "sotalign", "wasserstein-procrustes", "contrastive", "ridge", "relative", "distillation"]


@pytest.mark.parametrize("kind", PEERS)
def test_noise_of_a_peer_changes_its_pairs_and_nothing_else(kind):
    x, y, pairs, _ = spaces(known=30)
    noisy = methods.build({"kind": kind, "noise": 0.3}).fit(x, y, pairs, 3)
    misled = methods.build({"kind": kind}).fit(x, y, mislead(pairs, 0.3, 3), 3)
    np.testing.assert_array_equal(noisy.transform(x), misled.transform(x))
    for one, other in zip(noisy.embed(x, y), misled.embed(x, y), strict=True):  # chosen on the same folds, misled once
        np.testing.assert_array_equal(one, other)
    assert (noisy.transform(x) != methods.build({"kind": kind}).fit(x, y, pairs, 3).transform(x)).any()


@pytest.mark.parametrize("kind", PEERS)
def test_a_peer_without_unpaired_rows_is_one_of_the_pairs_rows(kind):
    x, y, pairs, _ = spaces(known=30)
    found = methods.build({"kind": kind, "unpaired_rows": 0}).fit(x, y, pairs, 3)
    rows = [np.sort(side) for side in pairs.T]
    placed = np.stack([np.searchsorted(r, side) for r, side in zip(rows, pairs.T, strict=True)], axis=1)
    alone = methods.build({"kind": kind}).fit(x[rows[0]], y[rows[1]], placed, 3)
    np.testing.assert_array_equal(found.transform(x), alone.transform(x))


@pytest.mark.parametrize("kind", ["gromov", "unaligned", "joint", "weight-averaging"])
def test_less_is_given_to_methods_of_features_and_known_pairs_alone(kind):
    for less in ({"noise": 0.1}, {"unpaired_rows": 1}):
        with pytest.raises(InputError, match=f"'{kind}': unpaired_rows and noise are for methods that take"):
            methods.build({"kind": kind, **less})


# The methods that a config derives.


def panel(option: str, *values, method: str = "ngw") -> dict:
    return {"method": method, "option": option, "values": list(values)}


def values(*path, value=None) -> dict:
    """The tiny config with another value in one place."""
    table = {"vary": [panel("epsilon", 0.1)], "pairs": 16, "seeds": [0]}
    return tiny("tables", "ablations", value=table | ({path[0]: value} if path else {}))


def test_a_value_becomes_a_derived_method_that_reads_back():
    good = Config(values(), SCHEMA)
    for option, value, name in (
        ("epsilon", 0.1, "ngw~epsilon=0.1"),
        ("learning_rate", 1e-5, "ngw~learning_rate=1.0e-05"),  # YAML reads 1e-05 as text
        ("pinned", False, "ngw~pinned=false"),
        ("smoothness", 0, "ngw~smoothness=0"),
        ("cost", "wasserstein-procrustes", "ngw~cost=wasserstein-procrustes"),
        ("unpaired_rows", 1, "ngw~unpaired_rows=1"),
        ("whiten", None, "ngw~whiten=null"),
    ):
        assert good.derived("ngw", option, value)[1] == name
        assert good.method_spec(name)[option] == value
        good.method(name)
    label, name = good.derived("ngw", "map", {"map": "mlp", "steps": 300, "pinned": True})
    assert label == "mlp, pinned=true, steps=300"  # by name, in whatever order they are given
    assert name == "ngw~map=mlp~steps=300"  # pinned it is already
    assert good.derived("ngw", "dims", 32) == ("32", "ngw")  # the config's own value, not the class's default
    assert good.derived("ngw~dims=8", "dims", 32)[1] == "ngw~dims=8~dims=32"
    assert good.method("ngw~dims=8~dims=32").dims == 32


def test_groups_hold_the_base_once_and_stand_in_the_order_of_numbers():
    vary = [
        panel("epsilon", 0.2, 0.001), panel("unpaired_rows", 4, None, 0), panel("cost", "raw"),
        panel("cycle", 0, method="ngw~map=mlp"),
    ]  # fmt: skip
    more = [panel("epsilon", 0.1, 0.2), panel("noise", 0.3)]
    good = Config(values("vary", value=vary), SCHEMA)
    groups = {(g["base"], g["option"]): g["rows"] for g in good.ablation_groups()}
    assert groups["ngw", "epsilon"] == [
        ["0.001", "ngw~epsilon=0.001", "shared"], ["0.05", "ngw", "shared"], ["0.2", "ngw~epsilon=0.2", "shared"]
    ]  # fmt: skip
    assert [row[0] for row in groups["ngw", "unpaired_rows"]] == ["0", "4", "null"]
    assert groups["ngw", "unpaired_rows"][2][1] == "ngw"
    assert groups["ngw", "cost"][0] == [good.method("ngw").cost, "ngw", "shared"]
    assert ["0", "ngw~map=mlp~cycle=0", "shared"] in groups["ngw~map=mlp", "cycle"]
    full = values("vary", value=vary)
    full["tables"]["ablations"]["full"] = {"vary": more, "seeds": [0, 1]}
    good = Config(full, SCHEMA)
    short, full = good.ablation_grid(), good.ablation_grid(full=True)
    assert short["methods"].keys() < full["methods"].keys() <= set(good.selected())
    assert (short["seeds"], full["seeds"]) == ([0], [0, 1])
    assert short["methods"]["ngw"] == {"16": ["shared"]}
    assert short["methods"]["ngw~cost=raw"] == {"0": ["shared"]}  # it takes no pairs
    assert [row[0] for row in full["groups"][0]["rows"]] == ["0.001", "0.05", "0.1", "0.2"]


def test_a_panel_of_settings_has_every_method_of_its_list_in_each():
    good = Config(values("vary", value=[panel("setting", "foreign", "disjoint", method=["cca", "ngw"])]), SCHEMA)
    assert good.ablation_groups() == [
        {
            "base": name, "unpaired": "shared", "option": "setting",
            "rows": [[unpaired, name, unpaired] for unpaired in ("shared", "foreign", "disjoint")],
        }
        for name in ("cca", "ngw")
    ]  # fmt: skip
    wanted = {"16": ["shared", "foreign", "disjoint"]}
    assert good.ablation_grid()["methods"] == {"cca": wanted, "ngw": wanted}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["vary"], [panel("setting", "apart")], ["tables.ablations.vary: setting 'apart' is not defined", "foreign"]),
        (["vary"], [panel("setting", "none")], ["tables.ablations.vary: setting 'none' is not defined"]),
        (["vary"], [panel("setting", "shared", method=["ngw", "oracle"])], ["expected methods that see", "'oracle'"]),
        (["vary"], [panel("epsilon", 1, method=["ngw", "nwg"])], ["tables.ablations.vary", "Did you mean 'ngw'?"]),
        (["vary"], [panel("epsilon", 1, method=["ngw", "cca"])], ["cca~epsilon=1", "no option 'epsilon'"]),
        (["vary"], [panel("epsilon", 1, method=[])], ["tables.ablations.vary[0].method"]),
        (["vary"], [panel("epsilon", 1, method="nwg")], ["tables.ablations.vary", "Did you mean 'ngw'?"]),
        (["vary"], [panel("epsilno", 1)], ["ngw~epsilno=1", "Did you mean 'epsilon'?"]),
        (["vary"], [panel("epsilon", -1)], ["ngw~epsilon=-1", "epsilon is positive"]),
        (["vary"], [panel("map", {"steps": 3})], ["expected 'map' among {'steps': 3}"]),
        (["vary"], [panel("cost", "a/b")], ["tables.ablations.vary[0].values[0]"]),
        (["pairs"], 49, ["tables.ablations.pairs: a budget of 49 is larger than the train split"]),
        (["sedes"], [0], ["unknown key 'sedes'", "Did you mean 'seeds'?"]),
        (["vary"], [panel("cycle", 0, method="ngw~epsilon=0")], ["ngw~epsilon=0", "epsilon is positive"]),
    ],
)
def test_what_is_wrong_with_an_ablation_is_told(path, value, words):
    refused(values(*path, value=value), *words)
