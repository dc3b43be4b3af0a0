"""From your own two arrays, or two .npy files, to a table: comparisons, refusals and warnings."""

from __future__ import annotations

import numpy as np
import pytest

import ngw
from ngw.cli import main
from ngw.errors import InputError
from ngw.seeds import rng

N = 120


@pytest.fixture(scope="module")
def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Two linear views, a little noisy, of the same points."""
    draw = np.random.default_rng(0)
    points = draw.standard_normal((N, 5))
    return tuple(points @ draw.standard_normal((5, d)) + 0.01 * draw.standard_normal((N, d)) for d in (12, 8))


def test_two_arrays_to_a_table_and_fitted_models(arrays):
    found = ngw.compare(*arrays, pairs=40, test=30, methods=["cca", {"kind": "ridge"}, "random"])
    assert found.metrics["cca"]["i2t_recall_1"] > 0.9
    assert found.metrics["random"]["i2t_recall_1"] < 0.4
    assert found.models["ridge"].transform(arrays[0][:3]).shape == (3, 8)
    lines = str(found).splitlines()
    assert lines[0] == "Retrieval in per cent, 40 known pairs, 30 test rows; chance: 3.3"
    assert lines[1].split()[:2] == ["R@1", "x"]
    assert [line.split()[0] for line in lines[2:]] == ["cca", "ridge", "random"]
    assert len({len(line) for line in lines[1:]}) == 1


def test_the_table_is_a_function_of_the_seed(arrays):
    first, again, other = (ngw.compare(*arrays, pairs=10, methods=["ridge"], seed=seed).metrics for seed in (0, 0, 1))
    assert first == again != other


def test_methods_have_the_names_of_the_tables(arrays):
    entries = ["ngw~epsilon=.05", "ngw~epsilon=0.2~rounds=1", {"kind": "warp", "epsilon": 0.05}, "warp", "ngw"]
    found = ngw.compare(*arrays, pairs=10, methods=entries)
    assert list(ngw.compare(*arrays, pairs=10, methods="ridge").metrics) == ["ridge"]
    names = ["ngw~epsilon=.05", "ngw~epsilon=0.2~rounds=1", "warp~epsilon=0.05", "warp", "ngw"]
    assert list(found.metrics) == names
    assert [found.models[name].epsilon for name in names[:3]] == [0.05, 0.2, 0.05]
    assert found.metrics[names[0]] == found.metrics[names[2]]
    assert found.metrics["ngw"] == found.metrics["warp"]
    for name, words in {
        "nwg": "method 'nwg' does not exist. Did you mean 'ngw'",
        "ngw~epsilo=1": "'warp' has no option 'epsilo'. Did you mean 'epsilon'",
        "ngw~kind=cca": "method 'ngw~kind=cca': expected another option, found its kind",
        "ngw~0.05": "method 'ngw~0.05': expected option=value after '~'",
    }.items():
        with pytest.raises(InputError, match=words):
            ngw.compare(*arrays, methods=[name])


def test_several_budgets_and_seeds_are_one_table_of_means_and_spreads(arrays, tmp_path, capsys):
    budgets, seeds, methods = [4, "all"], [0, 3, 4], ["ridge", "cca"]
    found = ngw.compare(*arrays, pairs=budgets, test=30, methods=methods, seed=seeds)
    alone = {
        (pairs, seed): ngw.compare(*arrays, pairs=pairs, test=30, methods=methods, seed=seed)
        for pairs in budgets
        for seed in seeds
    }
    for pairs in budgets:
        part = found.at(pairs)
        for metric in ("i2t_recall_1", "t2i_mrr"):
            values = [alone[pairs, seed].metrics["ridge"][metric] for seed in seeds]
            assert part.metrics["ridge"][metric] == pytest.approx(np.mean(values))
            assert part.std["ridge"][metric] == pytest.approx(np.std(values, ddof=1))
        np.testing.assert_array_equal(part.models["ridge"].w_ab_, alone[pairs, 0].models["ridge"].w_ab_)
    assert alone[4, 0].std["cca"]["i2t_mrr"] == 0  # one seed
    lines = str(found).splitlines()
    assert lines[0] == (
        "Retrieval in per cent, by number of known pairs, 30 test rows, mean ± standard deviation over 3 seeds; "
        "chance: 3.3"
    )
    assert lines[1].split()[0] == "pairs"
    assert [line.split()[:2] for line in lines[2:]] == [[m, p] for p in ("4", "all") for m in methods]
    first = found.at(4)
    shown = f"{100 * first.metrics['ridge']['i2t_recall_1']:.1f} ± {100 * first.std['ridge']['i2t_recall_1']:.1f}"
    assert shown in lines[2]
    assert first.std["ridge"]["i2t_recall_1"] > 0
    for call, words in (
        (lambda: found.metrics, r"metrics: expected one budget of pairs, found 4, all; take at\('4'\)\.metrics"),
        (lambda: found.at(30), "expected one of the budgets 4, all, found 30"),
        (lambda: ngw.compare(*arrays, seed=[0, 0]), "seed: expected one or more, each once"),
        (lambda: ngw.compare(*arrays, pairs=[]), "pairs: expected one or more, each once"),
        (lambda: ngw.compare(*arrays, pairs=[4, 200]), "a budget of 200 is larger"),
    ):
        with pytest.raises(InputError, match=words):
            call()
    for name, z in zip("xy", arrays, strict=True):
        np.save(tmp_path / f"{name}.npy", z)
    words = ["align", "--x", str(tmp_path / "x.npy"), "--y", str(tmp_path / "y.npy"), "--test", "30"]
    words += ["--pairs", "4", "all", "--seeds", "0", "3", "4", "--methods", *methods]
    assert main([*words, "--output", str(tmp_path / "ridge.safetensors")]) == 0
    assert capsys.readouterr().out == f"{found}\n"
    saved = ngw.methods.load(tmp_path / "ridge.safetensors")
    np.testing.assert_array_equal(saved.w_ab_, first.models["ridge"].w_ab_)


def test_items_of_one_side_join_its_training_cloud(arrays, tmp_path, capsys):
    x, y = arrays
    found = ngw.compare(x, y, "all", 30, ["cca"], 0, x_unpaired=x[:50] + 1, y_unpaired=y[:20] + 1).models["cca"]
    alone = ngw.compare(x, y, "all", 30, ["cca"]).models["cca"]
    assert found.n_pairs_ == alone.n_pairs_ == 90
    train = np.delete(x, rng(0, "align", "split").permutation(N)[:30], axis=0)
    np.testing.assert_allclose(found.x_mean_, np.concatenate([train, x[:50] + 1]).mean(0), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="y_unpaired: expected rows of 8 numbers, like y, found 12; encode both alike"):
        ngw.compare(x, y, y_unpaired=x)
    for name, z in {"x": x, "y": y, "further": x[:50]}.items():
        np.save(tmp_path / f"{name}.npy", z)
    words = [f"--{side}={tmp_path / side}.npy" for side in ("x", "y")] + ["--pairs", "40", "--methods", "warp"]
    tables = []
    for further in ([], [f"--x-unpaired={tmp_path / 'further.npy'}"]):
        assert main(["align", *words, *further]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] != tables[1]


def test_test_rows_are_unknown_to_the_fit(arrays):
    # Partners that are wrong in the test rows alone change nothing of what is learned.
    x, y = arrays
    first = ngw.compare(x, y, methods=["ridge"], test=30)
    rows = np.sort(rng(0, "align", "split").permutation(N)[:30])
    spoiled = y.copy()
    spoiled[rows] = y[rows][::-1]
    second = ngw.compare(x, spoiled, methods=["ridge"], test=30)
    np.testing.assert_array_equal(first.models["ridge"].w_ab_, second.models["ridge"].w_ab_)
    assert second.metrics["ridge"]["i2t_recall_1"] < first.metrics["ridge"]["i2t_recall_1"]


def test_a_method_that_does_not_exist_and_arrays_that_do_not_fit(arrays):
    x, y = arrays
    with pytest.raises(InputError, match=r"method 'rigde' does not exist. Did you mean 'ridge'"):
        ngw.compare(x, y, methods=["rigde"])
    with pytest.raises(InputError, match=r"the same n items, found .120, 12. and .119, 8."):
        ngw.compare(x, y[1:])
    with pytest.raises(InputError, match="expected 2 to 118 test rows, found 119 of 120"):
        ngw.compare(x, y, test=119)
    with pytest.raises(InputError, match="reads raw images and texts"):
        ngw.compare(x, y, methods=["joint"])
    with pytest.raises(InputError, match="a budget of 200 is larger"):
        ngw.compare(x, y, pairs=200)
    for options, words in (
        (
            {"pairs": np.zeros((9, 2), int)},
            r"pairs: expected one number or a list of them, found an array of shape .9, 2.",
        ),
        ({"methods": [ngw.Warp()]}, r"expected names or mappings .*, found Warp\(\)"),
        ({"methods": []}, "methods: expected one or more"),
        ({"seed": [0, 0.5]}, "seed: expected a whole number, found 0.5"),
        ({"seed": [1, True]}, "seed: expected a whole number, found True"),
    ):
        with pytest.raises(InputError, match=words):
            ngw.compare(x, y, **options)


def test_the_command_prints_the_table_and_writes_the_first_method(arrays, tmp_path, capsys):
    for name, z in zip("xy", arrays, strict=True):
        np.save(tmp_path / f"{name}.npy", z)
    files = ["--x", str(tmp_path / "x.npy"), "--y", str(tmp_path / "y.npy")]
    words = ["align", *files, "--pairs", "40", "--test", "30", "--methods", "cca", "ridge"]
    assert main([*words, "--output", str(tmp_path / "cca.safetensors")]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[0] == "cca"
    assert ngw.methods.load(tmp_path / "cca.safetensors").transform(arrays[0]).shape == (N, 8)
    np.save(tmp_path / "y.npy", np.array([{"a": 1}]), allow_pickle=True)
    assert main(words) == 2
    assert "y.npy: expected an .npy file of numbers" in capsys.readouterr().err


def test_copies_of_an_item_on_both_sides_of_the_split_are_counted_and_warned_of(arrays, tmp_path, capsys):
    x, y = (z.repeat(5, axis=0) for z in arrays)
    y[::5] += 0.01  # of y's five rows one is its own
    with pytest.warns(UserWarning, match=r"compare: 1\d\d of 120 test rows of x, and \d\d of y, equal a training row"):
        found = ngw.compare(x, y, methods=["random"])
    assert found.repeated["x"] == 120 > found.repeated["y"] > 60
    assert f"Test rows of y that equal a training row: {found.repeated['y']}" in str(found)
    for name, z in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", z)
    assert main(["align", "--x", str(tmp_path / "x.npy"), "--y", str(tmp_path / "y.npy"), "--methods", "random"]) == 0
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "120 of 120 test rows of x" in said[0]


def test_rows_that_differ_are_not_warned_of(arrays, recwarn):
    assert ngw.compare(*arrays, methods=["random"]).repeated == {"x": 0, "y": 0}
    assert not recwarn


def holed(x):
    """x with a NaN in row 7."""
    x = x.copy()
    x[7, 3] = np.nan
    return x


FLAWS = {
    "a NaN in row 7": (holed, [], "x: expected finite features, found NaN or infinity in row 7;"),
    "texts": (lambda x: x.astype(str), [], "x: expected numbers [n, d], found an array of <U"),
    "fields": (
        lambda x: np.zeros(N, [("a", "f4"), ("b", "i4")]),
        [],
        "x: expected numbers [n, d], found an array of [",
    ),
    "no rows": (lambda x: x[:0], [], "x: expected a cloud [n, d], found shape [0, 12]"),
    "one axis": (lambda x: x[:, 0], [], "x: expected a cloud [n, d], found shape [120]"),
    "three axes": (lambda x: x[None], [], "x: expected a cloud [n, d], found shape [1, 120, 12]"),
    "test nan": (None, ["--test", "nan"], "expected 2 to 118 test rows, found nan of 120"),
    "test inf": (None, ["--test", "inf"], "expected 2 to 118 test rows, found inf of 120"),
    "test negative": (None, ["--test=-5"], "expected 2 to 118 test rows, found -5.0 of 120"),
    "test 2.5": (None, ["--test", "2.5"], "expected 2 to 118 test rows, found 2.5 of 120"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_what_cannot_be_aligned_is_told_in_a_sentence(flaw, arrays, tmp_path, capsys):
    change, more, words = FLAWS[flaw]
    np.save(tmp_path / "x.npy", arrays[0] if change is None else change(arrays[0]))
    np.save(tmp_path / "y.npy", arrays[1])
    assert main(["align", "--x", str(tmp_path / "x.npy"), "--y", str(tmp_path / "y.npy"), *more]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(("name", "words"), [(".", "found a folder"), ("file/model", "file isn't a folder in which")])
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(name, words, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["align", "--x", "none.npy", "--y", "none.npy", "--output", str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / name}: expected a name that can be written" in said
    assert words in said


@pytest.mark.parametrize("read", ["x", "y", "x-unpaired"])
def test_an_output_that_is_read_is_refused_before_it_is_replaced(read, tmp_path, refused):
    for name in ("x", "y", "x-unpaired"):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(0).standard_normal((30, 4)))
    given = [word for name in ("x", "y", "x-unpaired") for word in (f"--{name}", str(tmp_path / f"{name}.npy"))]
    (tmp_path / "link").symlink_to(f"{read}.npy")
    before = (tmp_path / f"{read}.npy").read_bytes()
    for output in (f"{read}.npy", f"../{tmp_path.name}/{read}.npy", "link"):
        refused(["align", *given, "--methods", "cca", "--output", str(tmp_path / output)], "found one that is read")
    refused(["export-features", given[1], "--output", given[1]], "x.npy: expected the name of another file")
    assert (tmp_path / f"{read}.npy").read_bytes() == before
