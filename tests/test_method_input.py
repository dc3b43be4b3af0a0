"""Input of fit and transform: odd arrays are read correctly or refused, and features have no unit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from test_methods import K, clouds, outputs, refused, same

from ngw import methods
from ngw.errors import InputError

X, Y = (z.astype(np.float32) for z in clouds())
PAIRS = np.arange(K)


def ridge():
    return methods.build({"kind": "ridge"})


def whole(z):
    return np.round(z * 10).astype(int)


RIGHT = {  # what: (x as it is passed, the plain array that it stands for)
    "lists": (X.tolist(), X),
    "float64": (X.astype(np.float64), X),
    "float16": (X.astype(np.float16), X.astype(np.float16)),
    "whole numbers": (whole(X), whole(X)),
    "unsigned": (np.abs(whole(X)).astype(np.uint8), np.abs(whole(X))),
    "booleans": (X > 3, X > 3),
    "a data frame": (pd.DataFrame(X), X),
    "a data frame of several types": (pd.DataFrame({"a": whole(X)[:, 0], "b": X[:, 1], "c": X[:, 2] > 3}), None),
    "numbers as objects": (X.astype(object), X),
    "a masked array without masks": (np.ma.array(X, mask=False), X),
    "in Fortran's order": (np.asfortranarray(X), X),
    "every second row and column": (np.repeat(np.repeat(X, 2, 0), 2, 1)[::2, ::2], X),
    "backwards": (X[::-1, ::-1][::-1, ::-1], X),
    "big-endian": (X.astype(">f4"), X),
    "a tensor": (torch.tensor(X), X),
    "a tensor with a gradient": (torch.tensor(X, requires_grad=True), X),
    "brain floats": (torch.tensor(X).bfloat16(), torch.tensor(X).bfloat16().float().numpy()),
    "a transposed tensor": (torch.tensor(X.T.copy()).T, X),
}


@pytest.mark.parametrize("what", RIGHT)
def test_what_holds_numbers_is_read_right(what):
    x, plain = RIGHT[what]
    plain = np.asarray(x, np.float64) if plain is None else np.asarray(plain, np.float64)
    method, expected = ridge().fit(x, Y, PAIRS), ridge().fit(plain, Y, PAIRS)
    same([method.transform(x), *method.embed(x, Y)], [expected.transform(plain), *expected.embed(plain, Y)], atol=1e-4)


def masked():
    return np.ma.array(X, mask=np.arange(X.size).reshape(X.shape) == 8 * 7 + 2)


def words(dtype):
    return X.astype("U9").astype(dtype)


def with_value(value, dtype=np.float64):
    x = X.astype(dtype)
    x[7, 2] = value
    return x


REFUSED = {  # what: (x, what the sentence says)
    "a masked array": (masked(), "masked ones, the first in row 7; fill them"),
    "complex": (X + 0j, "expected real numbers, found complex"),
    "complex, as a tensor": (torch.tensor(X + 0j), "expected real numbers, found complex"),
    "texts": (words("U9"), "found one of text"),
    "texts that numbers can be read from": (words(object), "found one of text"),
    "a missing object": (with_value(None, object), "NaN or infinity in row 7"),
    "dates": (X.astype("datetime64[s]"), r"found one of datetime64\[s\]"),
    "durations": (X.astype("timedelta64[s]"), "found one of timedelta64"),
    "a sparse array": (sparse.csr_array(X), "neither ragged nor sparse, found a csr_array"),
    "a sparse matrix": (sparse.coo_matrix(X), "neither ragged nor sparse, found a coo_matrix"),
    "a sparse tensor": (torch.tensor(X).to_sparse(), "neither ragged nor sparse, found a Tensor"),
    "a tensor without data": (torch.tensor(X, device="meta"), "found a Tensor"),
    "a number": (1.0, r"found shape \[\]"),
    "nothing": (None, r"found shape \[\]"),
    "a NaN": (with_value(np.nan), "NaN or infinity in row 7"),
    "a missing value of a data frame": (pd.DataFrame(with_value(np.nan)), "NaN or infinity in row 7"),
    "beyond float32": (with_value(1e300), r"features up to 1e\+36, found larger ones in row 7; scale them"),
    "whole numbers beyond float32": (with_value(10**40, object), r"features up to 1e\+36, found larger ones in row 7"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_is_refused_in_one_sentence(what):
    x, text = REFUSED[what]
    refused(text, ridge().fit, x, Y, PAIRS)
    refused(text, methods.build({"kind": "warp", "unpaired_rows": 1.0}).fit, x, Y, PAIRS)
    refused(text, ridge().fit(X, Y, PAIRS).transform, x)


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        (np.ma.array(PAIRS, mask=PAIRS == 3), "pairs: .*masked ones, the first in row 3"),
        (PAIRS + 0j, "pairs: expected real numbers"),
        ([[0, 1], [2]], "pairs: .*neither ragged nor sparse"),
        (PAIRS.astype(str), "pairs: .*one of text"),
    ],
)
def test_pairs_are_read_as_strictly(pairs, text):
    refused(text, ridge().fit, X, Y, pairs)
    same(outputs(ridge().fit(X, Y, torch.arange(K))), outputs(ridge().fit(X, Y, PAIRS)))


def test_input_is_never_changed_nor_kept():
    x, y = X.copy(), Y.copy()
    method = methods.build({"kind": "relative"}).fit(x, y, PAIRS)
    same((x, y), (X, Y))
    before = outputs(method)
    x[:], y[:] = 0, 0
    same(outputs(method), before)


def test_columns_of_a_data_frame_keep_their_order(tmp_path):
    x, y = pd.DataFrame(X, columns=list("abcdefgh")), pd.DataFrame(Y)
    method = ridge().fit(x, y, PAIRS)
    path = tmp_path / "model.safetensors"
    method.save(path)
    for fitted in (method, methods.load(path)):
        same([fitted.transform(x)], [fitted.transform(X)])
        refused("found 'b' where 'a' was, column 0", fitted.transform, x[list("bacdefgh")])
        same([fitted.inverse_transform(y)], [fitted.inverse_transform(y[list(y.columns)])])


# Features have no unit


@pytest.mark.parametrize("kind", [k for k in methods.kinds() if k not in ("joint", "outside", "weight-averaging")])
def test_the_unit_of_features_changes_nothing(kind):
    a, b = 2.0**-43, 2.0**43  # about 1e-13 and 1e13; powers of two, so that nothing is rounded
    spec = {"kind": kind} | ({"steps": 20} if kind in ("warp", "sotalign", "contrastive", "structure") else {})
    plain, scaled = methods.build(spec).fit(X, Y, PAIRS), methods.build(spec).fit(a * X, b * Y, PAIRS)
    same(scaled.embed(a * X, b * Y), plain.embed(X, Y))
    same([scaled.transform(a * X) / b, scaled.inverse_transform(b * Y) / a], outputs(plain)[:2])
    assert (scaled.converged_, scaled.note_, scaled.n_pairs_) == (plain.converged_, plain.note_, plain.n_pairs_)


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10, 1e30])
@pytest.mark.parametrize("kind", ["procrustes", "ridge", "cca", "warp"])
def test_the_unit_of_features_changes_no_ranks(kind, scale):
    plain, scaled = methods.build({"kind": kind}).fit(X, Y, PAIRS), methods.build({"kind": kind})
    scaled.fit(scale * X.astype(np.float64), Y / np.float64(scale), PAIRS)
    u, v = scaled.embed(scale * X.astype(np.float64), Y / np.float64(scale))
    p, q = plain.embed(X, Y)
    np.testing.assert_allclose(u @ v.T, p @ q.T, atol=1e-3)


def test_a_plan_has_no_unit():
    plans = [methods.build({"kind": "warp"}).solve(a * X, b * Y, PAIRS) for a, b in ((1, 1), (1e-13, 1e13))]
    np.testing.assert_allclose(plans[0].to_y, plans[1].to_y, atol=1e-3)
    assert plans[0].n_iter == plans[1].n_iter


def test_rows_that_hardly_differ_are_not_equal():
    offset = np.zeros(8)
    offset[0] = 1e6
    x = X * 1e-7 + offset  # a constant feature beside tiny ones
    x[:, 0] = 1e6
    same([ridge().fit(x, Y, PAIRS).transform(x)], [ridge().fit(X * (offset == 0), Y, PAIRS).transform(X)], atol=0.05)
    x[:, 0] += 0.1  # which float32 rounds, but alike in every row
    same([ridge().fit(x, Y, PAIRS).transform(x)], [ridge().fit(X * (offset == 0), Y, PAIRS).transform(X)], atol=0.05)
    refused("x: expected a spread of 1e-36 or more, found .*; scale the features", ridge().fit, X * 1e-38, Y, PAIRS)
    refused("x: expected features that differ, found 60 equal rows", ridge().fit, X * 0, Y, PAIRS)
    refused("x: expected features that differ, found 1 sample", ridge().fit, X[:1], Y, PAIRS[:1])


def test_rows_so_far_from_the_origin_that_float32_loses_them_are_refused():
    for far in (1e7, 1e8, 1e9):
        refused(r"x: .* that it rounds by \d+% of their spread; subtract", ridge().fit, X.astype(float) + far, Y, PAIRS)
    near = ridge().fit(X + 1e4, Y, PAIRS)
    same([near.transform(X + 1e4)], [ridge().fit(X, Y, PAIRS).transform(X)], atol=0.1)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_fit_computes_gradients_whatever_the_caller_has_switched_off(mode):
    free = methods.build({"kind": "contrastive", "steps": 3}).fit(X, Y, PAIRS)
    with mode():
        bound = methods.build({"kind": "contrastive", "steps": 3}).fit(X, Y, PAIRS)
        warp = methods.build({"kind": "warp", "rounds": 1, "steps": 3})
        warp.fit_maps(X, Y, PAIRS, warp.solve(X, Y, PAIRS))
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
        assert not torch.is_grad_enabled()
    same(outputs(bound), outputs(free))


@pytest.mark.parametrize("seed", [None, 0.5, True, "1", [0]], ids=str)
def test_a_seed_is_a_whole_number(seed):
    refused("seed: expected a whole number, found", methods.build({"kind": "warp"}).fit, X, Y, PAIRS, seed)


def test_the_largest_features_still_fit():
    z = np.where(np.arange(60)[:, None] % 2, 1e36, -1e36) * np.ones((60, 8)) * np.sign(X - X.mean(0))
    method = ridge().fit(z, Y, PAIRS)
    assert np.isfinite(method.transform(z)).all()
    assert np.isfinite(method.inverse_transform(Y)).all()


def test_a_nan_is_named_by_the_users_row():
    x = X.copy()
    x[7] = np.nan
    for options in ({}, {"unpaired_rows": 0.5}, {"noise": 0.5}):
        with pytest.raises(InputError, match="in row 7"):
            methods.build({"kind": "warp", **options}).fit(x, Y, PAIRS + 20)
