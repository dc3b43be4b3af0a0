"""The contract that every kind of method keeps, whoever wrote it; bad input is refused in one sentence."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from safetensors.numpy import save_file

from ngw import io, methods
from ngw.errors import InputError
from ngw.methods.warp import Warp

N, M, K = 60, 50, 20  # rows of x, rows of y, known pairs: the first K rows of both
OTHERS = [
    {"kind": "warp", "cost": "raw"},
    {"kind": "warp", "cost": "procrustes", "map": "residual", "hidden": 16, "pinned": False},
    {"kind": "unaligned", "axes": "zero-pad"},
]
UNFITTED = ("joint", "outside", "weight-averaging")  # by other stages than fit
KINDS = [kind for kind in methods.kinds() if kind not in UNFITTED]
SPECS = [{"kind": kind} for kind in KINDS] + OTHERS
IGNORE_UNPAIRED = ["procrustes", "ridge", "cca", "relative", "oracle", "random", "unaligned"]


def name(spec):
    return "-".join(map(str, spec.values()))


every = pytest.mark.parametrize("spec", SPECS, ids=name)


@functools.cache
def clouds():
    """Two linear views of one latent cloud, x [60, 8] and y [50, 6]; read-only, so that writing into them fails."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((N, 5))
    x = z @ rng.standard_normal((5, 8)) + 0.1 * rng.standard_normal((N, 8)) + 3
    y = (z @ rng.standard_normal((5, 6)))[:M] * 10 + 0.1 * rng.standard_normal((M, 6))
    x.flags.writeable = y.flags.writeable = False
    return x, y


def fit(spec, pairs=True, seed=0):
    return methods.build(spec).fit(*clouds(), np.arange(K) if pairs is True else pairs, seed)


@functools.cache
def fitted(index):
    return fit(SPECS[index])


@pytest.fixture
def method(spec):
    """A fitted method, shared: tests don't change it."""
    return fitted(SPECS.index(spec))


def outputs(method):
    x, y = clouds()
    return method.transform(x), method.inverse_transform(y), *method.embed(x, y)


def same(left, right, **tolerance):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a, b, **({"rtol": 0, "atol": 0} | tolerance))


@every
def test_fit_returns_self_and_leaves_hyperparameters_and_input_alone(spec):
    x, y = clouds()
    before, method = (x.copy(), y.copy()), methods.build(spec)
    params, pairs = dict(method.params()), np.arange(K)
    assert method.fit(x, y, pairs) is method
    assert method.params() == params
    same((x, y, pairs), (*before, np.arange(K)))


@every
def test_a_method_says_what_it_is(spec):
    method = methods.build(spec)
    assert method.role in ("method", "baseline", "control")
    assert method.supervision in ("none", "some", "all")
    assert method.min_pairs >= 2
    assert type(method).__doc__
    assert method.reference or method.role == "control"


def test_the_controls_are_these_and_ngw_is_the_method():
    built = {name(spec): methods.build(spec) for spec in SPECS}
    controls = {"shuffled", "random", "oracle", "unaligned", "unaligned-zero-pad", "warp-raw"}
    assert {who for who, method in built.items() if method.role == "control"} == controls
    assert built["warp"].role == "method"
    unpaired = {who for who, method in built.items() if method.supervision == "none"}
    assert {"gromov", "random", "unaligned", "warp-raw"} <= unpaired
    assert built["wasserstein-procrustes"].supervision == "some"
    assert methods.build({"kind": "wasserstein-procrustes", "start": "gromov"}).supervision == "none"


@every
def test_shapes_and_scores(spec, method):
    to_y, to_x, u, v = outputs(method)
    assert (to_y.shape, to_x.shape) == ((N, 6), (M, 8))
    assert (len(u), len(v)) == (N, M)
    assert u.shape[1] == v.shape[1]
    assert all(np.isfinite(z).all() for z in (to_y, to_x, u, v))
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, atol=1e-5)
    assert method.n_parameters_ > 0


@every
def test_each_side_is_embedded_without_the_other(spec, method):
    x, y = clouds()
    u, v = method.embed(x, y)
    np.testing.assert_array_equal(method.embed_x(x), u)
    np.testing.assert_array_equal(method.embed_y(y), v)
    np.testing.assert_allclose(method.embed_x(x[7:8]), u[7:8], atol=1e-5)
    np.testing.assert_allclose(method.embed_y(y[7:8]), v[7:8], atol=1e-5)


@every
def test_rows_are_mapped_one_by_one_and_nothing_is_learnt_in_passing(spec, method):
    x, y = clouds()
    state = dict(vars(method))
    to_y, to_x, u, v = outputs(method)
    np.testing.assert_allclose(method.transform(x[7:9]), to_y[7:9], atol=1e-4)
    np.testing.assert_allclose(method.inverse_transform(y[7:8]), to_x[7:8], atol=1e-4)
    same(method.embed(x[7:9], y[7:8]), (u[7:9], v[7:8]), atol=1e-5)
    assert vars(method).keys() == state.keys()
    assert all(vars(method)[k] is value for k, value in state.items())


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:scipy")  # k-means on a line of unit vectors
@every
def test_a_row_maps_alike_to_the_last_digit_wherever_it_stands(spec):
    x, y = clouds()[0][:, :3], clouds()[1][:, :1]  # so narrow that a float32 product does show the place
    method, order = methods.build(spec).fit(x, y, np.arange(K)), np.random.default_rng(1).permutation
    for way, rows in ((method.transform, x), (method.inverse_transform, y)):
        where, there = order(len(rows)), way(rows)
        assert np.isfinite(there).all()
        np.testing.assert_array_equal(way(rows[where]), there[where])


@every
def test_same_seed_same_result(spec, method):
    same(outputs(fit(spec)), outputs(method))


def test_another_seed_another_random_map():
    assert not np.allclose(outputs(fit({"kind": "random"}))[0], outputs(fit({"kind": "random"}, seed=1))[0])


@every
def test_save_and_load(spec, method, tmp_path):
    path = tmp_path / "model.safetensors"
    method.save(path, dataset="toy")
    loaded, head = methods.load_with_metadata(path)
    assert type(loaded) is type(method)
    assert loaded.params() == method.params()
    assert (loaded.converged_, loaded.note_) == (method.converged_, method.note_)
    assert (loaded.n_pairs_, loaded.n_parameters_) == (method.n_pairs_, method.n_parameters_)
    assert head["dataset"] == "toy"
    same(outputs(loaded), outputs(method))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", IGNORE_UNPAIRED)
def test_order_of_the_unpaired_rows_is_not_information(kind):
    x, y = clouds()
    rng = np.random.default_rng(1)
    orders = [np.r_[:K, K + rng.permutation(n - K)] for n in (N, M)]
    moved = methods.build({"kind": kind}).fit(x[orders[0]], y[orders[1]], np.arange(K))
    same(outputs(moved), outputs(fit({"kind": kind})), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", IGNORE_UNPAIRED)
def test_pairs_are_rows_of_each_cloud(kind):
    x, y = clouds()
    order = np.random.default_rng(2).permutation(M)
    moved = methods.build({"kind": kind}).fit(x, y[order], np.stack([np.arange(K), np.argsort(order)[:K]], 1))
    same(outputs(moved), outputs(fit({"kind": kind})), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("spec", [s for s in SPECS if methods.build(s).supervision == "none"], ids=name)
def test_a_method_that_needs_no_pairs_ignores_them(spec):
    without = fit(spec, pairs=None)
    same(outputs(fit(spec)), outputs(without))
    assert without.n_pairs_ == 0


def with_value(value):
    x = clouds()[0].copy()
    x[3, 2] = value
    return x


BAD = {  # what: (x or None, pairs, what the sentence says)
    "one row": (np.zeros(8), None, r"x: expected a cloud \[n, d\], found shape \[8\]"),
    "three axes": (np.zeros((4, 3, 2)), None, r"found shape \[4, 3, 2\]"),
    "no rows": (np.zeros((0, 8)), None, r"found shape \[0, 8\]"),
    "words": ([["a", "b"]], None, "of numbers"),
    "ragged rows": ([[1.0, 2.0], [3.0]], None, "of numbers"),
    "NaN": (with_value(np.nan), None, "finite.*row 3"),
    "infinity": (with_value(np.inf), None, "finite.*row 3"),
    "equal rows": (np.full((N, 8), 0.1), None, "x: .*60 equal rows"),
    "pair beyond a cloud": (None, [[0, 0], [59, 50]], r"below 60 and 50.*\[59, 50\] as pair 1"),
    "clouds of different sizes": (None, np.arange(55), r"below 60 and 50.*\[50, 50\] as pair 50"),
    "negative pair": (None, [[0, 0], [-1, 2]], r"\[-1, 2\] as pair 1"),
    "three columns": (None, np.zeros((2, 3), int), r"found shape \[2, 3\]"),
    "repeated pairs": (None, [[0, 0], [1, 1], [0, 0]], "each pair once"),
    "a mask": (None, np.arange(N) < 9, "whole numbers, found bool"),
    "fractions": (None, [[0.5, 1.0]], "whole numbers, found float64"),
    "more pairs than rows": (None, np.argwhere(np.ones((N, 2))), "at most 60"),
}


def refused(text, call, *arguments):
    """The call raises InputError in one clear sentence: one line, one full stop at its end, what and the remedy."""
    with pytest.raises(InputError, match=text) as caught:
        call(*arguments)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert ":" in sentence
    assert ";" in sentence


@pytest.mark.parametrize("what", BAD)
@every
def test_bad_input_is_refused_in_one_sentence(spec, what):
    x, pairs, text = BAD[what]
    refused(text, methods.build(spec).fit, clouds()[0] if x is None else x, clouds()[1], pairs)


NEEDY = pytest.mark.parametrize("spec", [s for s in SPECS if methods.build(s).supervision != "none"], ids=name)


@NEEDY
def test_too_few_pairs(spec):
    method = methods.build(spec)
    refused(f"expected {method.min_pairs} known pairs or more, found 0", method.fit, *clouds())
    refused(f"found {method.min_pairs - 1}", method.fit, *clouds(), np.arange(method.min_pairs - 1))
    x, y, pairs = *clouds(), np.arange(method.min_pairs)
    assert all(np.isfinite(z).all() for z in outputs(method.fit(x, y, pairs)))  # and the fewest do


@NEEDY
def test_pairs_of_one_row_only(spec):
    pairs = np.stack([np.full(9, 5), np.arange(9)], axis=1)
    refused("x, known pairs: .*9 equal rows", methods.build(spec).fit, *clouds(), pairs)


@every
def test_new_rows_are_checked_as_well(spec, method):
    x, y = clouds()
    refused("x: expected rows of 8 features, as in fit, found 6", method.transform, y)
    refused("y: expected rows of 6 features, as in fit, found 8", method.inverse_transform, x)
    refused("y: expected rows of 6 features, as in fit, found 8", method.embed, x, x)
    refused("finite.*row 3", method.transform, with_value(np.nan))
    refused("finite.*row 3", method.embed, with_value(np.nan), y)


@every
def test_an_unfitted_method_says_so(spec):
    refused("expected a fitted method", methods.build(spec).transform, clouds()[0])
    refused("expected a fitted method", methods.build(spec).embed, *clouds())


def test_files_that_hold_no_method(tmp_path):
    path = tmp_path / "model.safetensors"
    refused("expected a fitted method", methods.load, path)
    path.write_bytes(b"truncated")
    refused("model.safetensors: expected a fitted method", methods.load, path)
    save_file({"x": np.zeros(2, np.float32)}, path)
    refused("expected a fitted method, found a file without a digest", methods.load, path)
    io.write_tensors(path, {"x": np.zeros(2, np.float32)}, {})
    refused("found other tensors", methods.load, path)
    fit({"kind": "ridge"}).save(path)
    with pytest.raises(InputError, match="expected a Warp, found a Ridge"):
        Warp.load(path)
