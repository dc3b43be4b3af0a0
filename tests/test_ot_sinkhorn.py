"""Entropic transport: closed forms, invariants, limits, agreement with POT, and honesty about what was reached."""

import itertools

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from ngw.ot import Coupling, sinkhorn


def clouds(n=40, m=55, d=5, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, d)), random.normal(size=(m, d)) + 0.5


def weights(n, m, seed=1):
    random = np.random.default_rng(seed)
    a, b = random.random(n) + 0.1, random.random(m) + 0.1
    return a / a.sum(), b / b.sum()


def costs(x, y, cost):
    """A second implementation of the costs, by definition."""
    if cost == "cosine":
        return 1 - (x / np.linalg.norm(x, axis=1)[:, None]) @ (y / np.linalg.norm(y, axis=1)[:, None]).T
    return ((x[:, None] - y[None]) ** 2).sum(-1)


def true_error(coupling, a, b):
    """L1 error of both marginals of the plan, as a share of the mass."""
    plan = coupling.dense()
    return (np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum()) / a.sum()


# --- closed forms


@pytest.mark.parametrize("points", [True, False])
def test_two_points_by_hand(points):
    # Costs [[0, 1], [1, 0]] have mean 1/2, so epsilon 0.5 is 0.25 in cost units.  By symmetry the plan is
    # [[p, q], [q, p]] with p + q = 1/2 and p / q = exp(1 / 0.25).
    z = np.array([[0.0], [1.0]])
    how = {"x": z, "y": z} if points else {"cost": np.array([[0.0, 1.0], [1.0, 0.0]])}
    plan = sinkhorn(**how, epsilon=0.5, dtype="float64", tol=1e-12).dense()
    q = 0.5 / (1 + np.exp(4))
    np.testing.assert_allclose(plan, [[0.5 - q, q], [q, 0.5 - q]], atol=1e-12)


def test_gaussians_in_one_dimension():
    # Between N(0, s^2) and N(1, t^2), cost |x - y|^2 and epsilon = 2 sigma^2, the plan is Gaussian with covariance
    # c = (sqrt(4 s^2 t^2 + sigma^4) - sigma^2) / 2 (Janati et al. 2020), so the projection is 1 + (c / s^2) x.
    s, t, grid = 1.0, 0.7, np.linspace(-6, 6, 601)[:, None]
    a, b = np.exp(-(grid[:, 0] ** 2) / 2 / s**2), np.exp(-((grid[:, 0] - 1) ** 2) / 2 / t**2)
    coupling = sinkhorn(grid, grid, a=a / a.sum(), b=b / b.sum(), epsilon=0.2, tol=1e-9, dtype="float64")
    sigma2 = coupling.epsilon / 2
    c = (np.sqrt(4 * s**2 * t**2 + sigma2**2) - sigma2) / 2
    inner = np.abs(grid[:, 0]) < 2.5
    np.testing.assert_allclose(coupling.barycenters(grid)[inner], 1 + c / s**2 * grid[inner], atol=1e-5)
    assert coupling.epsilon == pytest.approx(0.2 * (s**2 + t**2 + 1), rel=1e-6)  # the mean cost, by hand


@pytest.mark.parametrize("cost", ["sqeuclidean", "cosine"])
def test_mean_cost_without_the_matrix(cost):
    (x, y), (a, b) = clouds(), weights(40, 55)
    assert sinkhorn(x, y, a=a, b=b, epsilon=1, cost=cost).epsilon == pytest.approx(a @ costs(x, y, cost) @ b, rel=1e-10)


# --- the definition of the problem


@pytest.mark.parametrize("cost", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("epsilon", [1.0, 0.05, 0.01])
def test_plan_has_the_marginals_and_the_gibbs_form(cost, epsilon):
    (x, y), (a, b) = clouds(), weights(40, 55)
    coupling = sinkhorn(x, y, a=a, b=b, epsilon=epsilon, cost=cost)
    assert coupling.converged
    assert coupling.marginal_error <= 1e-4
    assert true_error(coupling, a, b) <= 1.2e-4
    gibbs = np.outer(a, b) * np.exp((coupling.f[:, None] + coupling.g - costs(x, y, cost)) / coupling.epsilon)
    np.testing.assert_allclose(coupling.dense(), gibbs, rtol=1e-3, atol=1e-12)


@pytest.mark.parametrize("epsilon", [0.5, 0.05, 0.005])
@pytest.mark.parametrize("given_matrix", [True, False])
def test_agrees_with_pot(epsilon, given_matrix):
    (x, y), (a, b) = clouds(), weights(40, 55)
    matrix = costs(x, y, "sqeuclidean")
    how = {"cost": matrix} if given_matrix else {"x": x, "y": y}
    coupling = sinkhorn(**how, a=a, b=b, epsilon=epsilon, dtype="float64", tol=1e-10)
    kind = {"method": "sinkhorn_log", "stopThr": 1e-12, "numItermax": 100_000}
    expected = ot.sinkhorn(a, b, matrix, epsilon * (a @ matrix @ b), **kind)
    assert np.abs(coupling.dense() - expected).sum() < 1e-8


@pytest.mark.parametrize(("epsilon", "tau"), [(0.1, 1.0), (0.05, 0.1), (1.0, 0.01)])
def test_unbalanced_agrees_with_pot(epsilon, tau):
    (x, y), (a, b) = clouds(), weights(40, 55)
    matrix = costs(x, y, "sqeuclidean")
    unit = a @ matrix @ b
    plan = sinkhorn(x, y, a=a, b=b, epsilon=epsilon, tau=tau, dtype="float64", tol=1e-10).dense()
    kind = {"reg_type": "kl", "stopThr": 1e-13, "numItermax": 100_000}
    expected = ot.unbalanced.sinkhorn_unbalanced(a, b, matrix, epsilon * unit, tau * unit, **kind)
    assert np.abs(plan - expected).sum() < 1e-8 * expected.sum()


def test_unbalanced_marginals_are_those_optimality_asks_for():
    (x, y), (a, b) = clouds(), weights(40, 55)
    coupling = sinkhorn(x, y, a=3 * a, b=b, epsilon=0.05, tau=0.5)  # totals may differ here
    plan, tau = coupling.dense(), 0.5 * coupling.epsilon / 0.05
    np.testing.assert_allclose(plan.sum(1), 3 * a * np.exp(-coupling.f / tau), rtol=1e-3)
    assert np.abs(plan.sum(0) - b * np.exp(-coupling.g / tau)).sum() < 1.2e-4 * plan.sum()


# --- invariants


def test_symmetric_problem_has_a_symmetric_plan():
    x, _ = clouds()
    plan = sinkhorn(x, x, epsilon=0.1, tol=1e-9, dtype="float64").dense()
    np.testing.assert_allclose(plan, plan.T, atol=1e-9)


def test_permutations_permute_the_plan():
    x, y = clouds()
    i, j = np.random.default_rng(2).permutation(40), np.random.default_rng(3).permutation(55)
    kind = {"epsilon": 0.05, "tol": 1e-10, "dtype": "float64"}
    np.testing.assert_allclose(
        sinkhorn(x[i], y[j], **kind).dense(), sinkhorn(x, y, **kind).dense()[i][:, j], atol=1e-10
    )


def test_a_constant_in_the_cost_changes_nothing_but_its_unit():
    matrix = costs(*clouds(), "sqeuclidean")
    kind = {"tol": 1e-10, "dtype": "float64"}
    plan = sinkhorn(cost=matrix, epsilon=0.05, **kind).dense()
    shifted = sinkhorn(cost=matrix + 1e4, epsilon=0.05 * matrix.mean() / (matrix.mean() + 1e4), **kind).dense()
    np.testing.assert_allclose(shifted, plan, atol=1e-9)


@pytest.mark.parametrize(("scale", "shift"), [(1e-12, 0.0), (1e12, 0.0), (1.0, 1e4)])
def test_unit_and_origin_do_not_matter(scale, shift):
    x, y = clouds()
    plan, moved = (sinkhorn(scale * z + shift, scale * w + shift, epsilon=0.05) for z, w in ((x, y), (x, y)))
    np.testing.assert_allclose(moved.dense(), plan.dense(), atol=1e-12)
    np.testing.assert_allclose(moved.dense(), sinkhorn(x, y, epsilon=0.05).dense(), atol=1e-6)


def test_exchanging_the_clouds_transposes_the_plan():
    x, y = clouds()
    kind = {"epsilon": 0.05, "tol": 1e-10, "dtype": "float64"}
    np.testing.assert_allclose(sinkhorn(y, x, **kind).dense(), sinkhorn(x, y, **kind).dense().T, atol=1e-10)


# --- limits


def test_large_epsilon_gives_the_product_plan():
    (x, y), (a, b) = clouds(), weights(40, 55)
    coupling = sinkhorn(x, y, a=a, b=b, epsilon=1e4)
    np.testing.assert_allclose(coupling.dense(), np.outer(a, b), rtol=2e-3)
    np.testing.assert_allclose(coupling.barycenters(y), np.tile(b @ y, (40, 1)), atol=1e-2)


@pytest.mark.parametrize("seed", range(3))
def test_small_epsilon_gives_the_assignment(seed):
    x, y = clouds(30, 30, seed=seed)
    matrix = costs(x, y, "sqeuclidean")
    coupling = sinkhorn(x, y, epsilon=1e-4)
    rows, cols = linear_sum_assignment(matrix)
    plan = coupling.dense()
    assert (plan * matrix).sum() == pytest.approx(matrix[rows, cols].mean(), rel=1e-3)
    np.testing.assert_array_equal(plan.argmax(1), cols)


# --- what can go wrong


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


def test_same_input_same_bits():
    x, y = clouds(300, 400)
    one, two = (sinkhorn(x, y, epsilon=0.02) for _ in range(2))
    assert np.array_equal(one.f, two.f)
    assert np.array_equal(one.barycenters(y), two.barycenters(y))


X, Y = clouds(4, 5)
BAD = {
    "epsilon must be a positive number": [{"epsilon": e} for e in (0, -1, float("nan"), float("inf"))],
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
    "tau must be": [{"tau": 0.0}, {"tau": -1.0}],
    "expected max_iter": [{"max_iter": 0}, {"memory": -1}, {"dtype": "float16"}],
    "finite column potentials": [{"init": (np.zeros(4), np.zeros(4))}],
}


@pytest.mark.parametrize(("message", "wrong"), [*itertools.chain(*([(m, w) for w in ws] for m, ws in BAD.items()))])
def test_wrong_input_is_named(message, wrong):
    with pytest.raises(ValueError, match=message):
        sinkhorn(**{"x": X, "y": Y, "epsilon": 0.1, **wrong})
