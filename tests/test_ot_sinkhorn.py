"""Entropic transport: closed forms, the definition of the problem, invariants and limits, agreement with POT."""

import numpy as np
import ot
import pytest
from scipy.optimize import linear_sum_assignment
from transport_problems import clouds, costs, true_error, weights

from ngw.ot import sinkhorn

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


def test_a_slurm_job_keeps_to_the_memory_that_it_has_asked_for(monkeypatch):
    x, y = np.random.default_rng(0).standard_normal((2, 600, 4)).astype(np.float32)
    assert sinkhorn(x, y, epsilon=0.1).path == "dense"
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "2")  # megabytes, which the process has taken
    small = sinkhorn(x, y, epsilon=0.1)
    assert small.path != "dense"
    assert small.converged
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")  # all of the node
    assert sinkhorn(x, y, epsilon=0.1).path == "dense"
