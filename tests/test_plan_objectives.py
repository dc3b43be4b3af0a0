"""The objective of each kind of plan, by hand or by an optimum's condition: see docs/explanation/method.md."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import rel_entr
from transport_problems import clouds, costs, weights

from ngw.methods._transport import SinkhornOptions, couple, partial_problem
from ngw.methods.base import unit
from ngw.ot import sinkhorn

EXACT = {"dtype": "float64", "tol": 1e-10, "max_iter": 20_000}


def divergence(plan, a, b):
    """KL(P | a b')."""
    product = np.outer(a, b)
    return (rel_entr(plan, product) - plan + product).sum()


def test_with_exact_marginals_the_divergence_and_the_entropy_differ_by_a_constant():
    (x, y), (a, b) = clouds(), weights(40, 55)
    plans = [sinkhorn(x, y, a=a, b=b, epsilon=epsilon, **EXACT).dense() for epsilon in (0.02, 0.5)]
    given = [divergence(plan, a, b) - (plan * np.log(plan)).sum() for plan in (*plans, np.outer(a, b))]
    assert given == pytest.approx([-(a * np.log(a)).sum() - (b * np.log(b)).sum()] * 3, rel=1e-6)


def test_with_penalised_marginals_one_pair_of_points_by_hand():
    # One cost c, the mean.  <P, C> + epsilon KL(P | ab) + tau KL(P | a) + tau KL(P | b) in units of c has the slope
    # 1 + epsilon log(P / ab) + tau log(P / a) + tau log(P / b), so P = (ab)^((epsilon + tau) / u) exp(-1 / u) with
    # u = epsilon + 2 tau.  With sum P log P - P in place of the divergence the power would be tau / u.
    epsilon, tau, ab = 0.5, 0.25, 0.1
    plan = sinkhorn(cost=np.array([[3.0]]), epsilon=epsilon, tau=tau, a=[0.2], b=[0.5], **EXACT).dense()
    assert plan[0, 0] == pytest.approx(ab**0.75 * np.exp(-1), rel=1e-8)
    assert plan[0, 0] < 0.6 * ab**0.25 * np.exp(-1)


@pytest.mark.parametrize("tau", [0.05, 1.0])
def test_with_penalised_marginals_the_slope_is_zero(tau):
    (x, y), (a, b) = clouds(), weights(40, 55)
    plan = sinkhorn(x, y, a=a, b=b, epsilon=0.1, tau=tau, **EXACT).dense()
    matrix = costs(x, y, "sqeuclidean")
    marginals = np.log(plan.sum(1) / a)[:, None] + np.log(plan.sum(0) / b)
    slope = matrix / (a @ matrix @ b) + 0.1 * np.log(plan / np.outer(a, b)) + tau * marginals
    np.testing.assert_allclose(slope, 0, atol=1e-6)


def test_a_partial_plan_keeps_what_stays_behind_under_the_entropy_too():
    # <P, C> + epsilon (KL(P | ab') + KL(r | a) + KL(s | b)), r = a - P1 and s = b - P'1, with the mass given: the slope
    # C + epsilon log(P_ij / (r_i s_j)) is the same for every i and j.
    u, v = (unit(z) for z in clouds(12, 9))
    a, b = weights(12, 9)
    plan = sinkhorn(**partial_problem(u, v, a, b, 0.6, 0.2), **EXACT).dense()[:-1, :-1]
    assert plan.sum() == pytest.approx(0.6)
    rest_a, rest_b, cost = a - plan.sum(1), b - plan.sum(0), costs(u, v, "cosine")
    slope = cost + 0.2 * (a @ cost @ b) * np.log(plan / np.outer(rest_a, rest_b))
    np.testing.assert_allclose(slope, slope[0, 0], rtol=1e-6)


def test_known_pairs_keep_their_mass_and_epsilon_is_the_others_own():
    u, v = (unit(z).astype(np.float32) for z in clouds(12, 12))
    x, y = clouds(12, 12, d=3, seed=5)
    known, rest = np.stack([np.arange(4), np.arange(4)], 1), slice(4, None)
    found = couple((u, v), x, y, known, SinkhornOptions(0.2, tol=1e-8))
    np.testing.assert_allclose(found.to_y[:4], y[:4], rtol=1e-6)
    others = sinkhorn(u[rest], v[rest], cost="cosine", epsilon=0.2, **EXACT).dense()  # the mean cost of the others
    np.testing.assert_allclose(found.to_y[rest], 8 * others @ y[rest], atol=1e-4)


def test_an_image_with_one_known_caption_of_two_keeps_half_of_its_mass_there():
    u, v = np.ones((1, 2), np.float32), np.ones((2, 2), np.float32)
    x, y = np.array([[5.0]]), np.array([[1.0], [4.0]])
    found = couple((u, v), x, y, np.array([[0, 0]]), SinkhornOptions(0.2))
    assert found.to_y[0, 0] == 2.5  # half from the known caption, and what is left goes to the only other one
    assert found.to_x.ravel().tolist() == [5, 5]
