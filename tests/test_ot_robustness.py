"""Entropic transport where it is hard or wrong: it stays finite, says what it reached, and names bad input."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transport_problems import clouds, costs, true_error, weights

from ngw.ot import Coupling, sinkhorn


def test_zero_weights_carry_no_mass_and_keep_a_finite_projection():
    (x, y), (a, b) = clouds(), weights(40, 55)
    a[:5], b[:7] = 0, 0
    a, b = a / a.sum(), b / b.sum()
    coupling = sinkhorn(x, y, a=a, b=b, epsilon=0.05, dtype="float64", tol=1e-10)
    plan = coupling.dense()
    assert plan[:5].sum() == plan[:, :7].sum() == 0
    alone = sinkhorn(x[5:], y[7:], a=a[5:], b=b[7:], epsilon=0.05, dtype="float64", tol=1e-10)
    np.testing.assert_allclose(plan[5:, 7:], alone.dense(), atol=1e-9)
    softmax = b * np.exp((coupling.g - costs(x, y, "sqeuclidean")) / coupling.epsilon)
    np.testing.assert_allclose(coupling.barycenters(y), softmax / softmax.sum(1)[:, None] @ y, atol=1e-8)
    assert np.isfinite(coupling.T.barycenters(x)).all()


@pytest.mark.parametrize("epsilon", [1e-4, 1e-3, 1e-2, 1.0, 10.0])
def test_hard_clouds_give_numbers_and_an_honest_error(epsilon):
    x, y = clouds(60, 80)
    far_x, far_y = x.copy(), y.copy()
    far_x[0], far_y[3] = 1e3, -1e3
    zero = x.copy()
    zero[0] = 0
    cases = {
        "outliers": (far_x, far_y, {}),
        "one outlier": (x, far_y, {}),
        "identical": (x, x, {}),
        "duplicates": (np.repeat(x[:6], 10, 0), np.repeat(y[:4], 20, 0), {}),
        "one point each": (x[:1], y[:1], {}),
        "n = 1": (x[:1], y, {}),
        "m = 1": (x, y[:1], {}),
        "all the same": (np.ones((6, 3)), np.ones((9, 3)), {}),
        "zero vector": (zero, y, {"cost": "cosine"}),
        "far clusters": (np.concatenate([x / 50, x / 50 + 5]), np.concatenate([y / 50, y[:20] / 50 + 5]), {}),
    }
    for name, (x, y, how) in cases.items():
        coupling = sinkhorn(x, y, epsilon=epsilon, max_iter=600, **how)
        for values in (coupling.f, coupling.g, coupling.barycenters(y), coupling.T.barycenters(x)):
            assert np.isfinite(values).all(), name
        error = true_error(coupling, np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y)))
        assert error <= 1.2 * coupling.marginal_error + 2e-6, name
        assert coupling.converged == (coupling.marginal_error <= 1e-4), name
        assert coupling.converged or coupling.reason.startswith("stopped"), name


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 12),
    m=st.integers(1, 12),
    d=st.integers(1, 4),
    seed=st.integers(0, 99),
    scale=st.sampled_from([1e-8, 1.0, 1e6]),
    copies=st.integers(1, 3),
    epsilon=st.sampled_from([3e-3, 0.03, 0.3, 10.0]),
    memory=st.sampled_from([None, 0]),
)
def test_any_shape_scale_and_duplicates(n, m, d, seed, scale, copies, epsilon, memory):
    x, y = (scale * z.round(1) for z in clouds(n, m, d, seed))  # rounding makes ties
    x = np.repeat(x, copies, 0)
    coupling = sinkhorn(x, y, epsilon=epsilon, memory=memory, max_iter=500)
    plan = coupling.dense()
    assert np.isfinite(plan).all()
    assert (plan >= 0).all()
    error = true_error(coupling, np.full(len(x), 1 / len(x)), np.full(m, 1 / m))
    assert error <= 1.2 * coupling.marginal_error + 2e-6
    np.testing.assert_allclose(plan[::copies], plan[copies - 1 :: copies], atol=1e-6)  # copies share alike


def test_says_so_where_float32_cannot_reach_tol():
    x, y = clouds(200, 200, 8)
    coarse = sinkhorn(x, y, epsilon=1e-4, dtype="float32")
    assert not coarse.converged
    assert "rounding in torch.float32" in coarse.reason
    uniform = np.full(200, 1 / 200)
    assert true_error(coarse, uniform, uniform) <= 2 * coarse.marginal_error
    fine = sinkhorn(x, y, epsilon=1e-4)  # exponents in float64 where they are needed
    assert fine.converged
    assert true_error(fine, uniform, uniform) <= 1.2e-4


def test_stops_at_max_iter_and_says_so():
    coupling = sinkhorn(*clouds(), epsilon=0.01, max_iter=3)
    assert (coupling.n_iter, coupling.converged) == (3, False)
    assert "max_iter" in coupling.reason


def test_starts_from_given_potentials():
    x, y = clouds()
    cold = sinkhorn(x, y, epsilon=0.01)
    for init in (cold, (cold.f, cold.g)):
        assert sinkhorn(x, y, epsilon=0.01, init=init).n_iter <= 2 < cold.n_iter


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, torch.float32, torch.float64, torch.bfloat16])
def test_results_come_back_as_the_kind_given(kind):
    x, y = clouds()
    if isinstance(kind, torch.dtype):
        x, y = torch.as_tensor(x, dtype=kind), torch.as_tensor(y, dtype=kind)
    else:
        x, y = x.astype(kind), y.astype(kind)
    coupling = sinkhorn(x, y, epsilon=0.1)
    assert isinstance(coupling, Coupling)
    assert type(coupling.f) is type(coupling.dense()) is type(coupling.mass([0], [1])) is type(x)
    assert coupling.barycenters(y).dtype == coupling.T.barycenters(x).dtype == kind


READ = {  # what: (x as it is passed, the plain array that it stands for)
    "backwards": lambda x: (x[::-1], x[::-1].copy()),
    "big-endian": lambda x: (x.astype(">f8"), x),
    "booleans": lambda x: (x > 0, (x > 0).astype(float)),
    "whole numbers": lambda x: ((10 * x).astype(np.uint16), (10 * x).astype(np.uint16).astype(float)),
    "objects": lambda x: (x.astype(object), x),
    "lists": lambda x: (x.tolist(), x),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("what", READ)
def test_what_holds_numbers_is_read_right(what):
    x, y = (np.abs(z) for z in clouds())
    given, plain = READ[what](x)
    if isinstance(given, np.ndarray):
        given.setflags(write=False)
    one, two = (sinkhorn(z, y, epsilon=0.1) for z in (given, plain))
    np.testing.assert_array_equal(one.dense(), two.dense())
    np.testing.assert_allclose(one.T.barycenters(given), two.T.barycenters(plain), rtol=1e-5)


def test_a_coupling_does_not_follow_its_callers_arrays():
    x, y = clouds()
    a = torch.full((len(x),), 1 / len(x), dtype=torch.float64, requires_grad=True)
    weights = a.detach().numpy()
    coupling = sinkhorn(x, y, epsilon=0.1, a=a)
    for mine in (weights, coupling.row_mass(), x):
        mine *= 100
    assert coupling.dense().sum() == pytest.approx(1, abs=1e-3)
    assert coupling.row_mass().sum() == pytest.approx(1, abs=1e-3)


def test_barycentres_of_any_finite_values():
    x, y = clouds()
    coupling = sinkhorn(x, y, epsilon=0.1)
    lowest = np.full((len(y), 2), -128, np.int8)
    np.testing.assert_allclose(coupling.barycenters(lowest), -128.0, rtol=1e-6)
    np.testing.assert_allclose(coupling.barycenters(y * 1e-300), 1e-300 * coupling.barycenters(y), rtol=1e-5)
    with pytest.raises(ValueError, match="barycenters: expected finite values"):
        coupling.barycenters(np.where(np.arange(len(y))[:, None] == 3, np.nan, y))


def test_same_input_same_bits():
    x, y = clouds(300, 400)
    one, two = (sinkhorn(x, y, epsilon=0.02) for _ in range(2))
    assert np.array_equal(one.f, two.f)
    assert np.array_equal(one.barycenters(y), two.barycenters(y))


X, Y = clouds(4, 5)
BAD = {
    "epsilon must be a positive number": [{"epsilon": e} for e in (0, -1, float("nan"), float("inf"), "0.05")],
    "must be a matrix": [{"x": X[0]}, {"y": Y[:0]}, {"x": X[None]}],
    "not finite": [{"x": np.where(X[0, 0] == X, np.nan, X)}, {"y": np.where(Y[0, 0] == Y, np.inf, Y)}],
    "columns": [{"x": X[:, :3]}],
    "shape": [{"a": np.ones(5) / 5}, {"b": np.ones((5, 1)) / 5}],
    "not negative": [{"a": np.array([0.5, 0.7, -0.2, 0.0])}, {"b": np.array([np.nan, 1, 0, 0, 0])}],
    "same positive total": [{"a": np.ones(4)}, {"a": np.zeros(4), "b": np.zeros(5)}],
    "cost must be": [{"cost": "euclidean"}],
    "a cost matrix alone": [{"cost": np.ones((4, 5))}],
    "needs both x and y": [{"y": None}],
    "add a constant": [{"x": None, "y": None, "cost": -np.ones((4, 5))}],
    "tau must be": [{"tau": 0.0}, {"tau": -1.0}, {"tau": float("inf")}, {"tau": "1"}],
    "masked ones": [{"x": np.ma.masked_greater(X, 0)}, {"a": np.ma.array(np.ones(4) / 4, mask=[0, 0, 1, 0])}],
    "one of text": [{"y": Y.astype(str)}],
    "expected max_iter": [{"max_iter": 0}, {"max_iter": 100.0}, {"memory": -1}, {"dtype": "float16"}],
    "finite column potentials": [{"init": (np.zeros(4), np.zeros(4))}],
}


@pytest.mark.parametrize(("message", "wrong"), [*itertools.chain(*([(m, w) for w in ws] for m, ws in BAD.items()))])
def test_wrong_input_is_named(message, wrong):
    with pytest.raises(ValueError, match=message):
        sinkhorn(**{"x": X, "y": Y, "epsilon": 0.1, **wrong})
