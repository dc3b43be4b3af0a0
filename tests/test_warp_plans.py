"""Partial and unbalanced plans, rounds, confidence, and the invertible map."""

from __future__ import annotations

import numpy as np
import ot
import pytest
from scipy.stats import entropy, ortho_group
from test_warp import diagonal, recall, views

from ngw.maps.linear import procrustes, ridge
from ngw.methods._transport import SinkhornOptions, couple, partial_problem
from ngw.methods.base import unit
from ngw.methods.gromov import Gromov
from ngw.methods.warp import COSTS, Warp
from ngw.ot import sinkhorn

NONE = np.empty((0, 2), np.int64)


def spheres(n=40, m=30, d=6, seed=0):
    rng = np.random.default_rng(seed)
    return unit(rng.standard_normal((n, d))), unit(rng.standard_normal((m, d)))


# Partial: a share of the mass


@pytest.mark.parametrize("mass", [0.3, 0.7, 0.95])
def test_a_partial_plan_is_the_exact_one_where_epsilon_is_small(mass):
    u, v = spheres()
    a, b = np.full(40, 1 / 40), np.full(30, 1 / 30)
    exact = ot.partial.partial_wasserstein(a, b, 1 - u @ v.T, m=mass)
    plan = sinkhorn(**partial_problem(u, v, a, b, mass, epsilon=3e-4), tol=1e-6, max_iter=20_000).dense()
    assert plan[-1, -1] < 1e-12  # nothing goes from one extra point to the other
    inner = plan[:-1, :-1]
    assert inner.sum() == pytest.approx(mass, abs=1e-5)
    assert (inner.sum(1) <= a + 1e-6).all()
    assert (inner * (1 - u @ v.T)).sum() == pytest.approx((exact * (1 - u @ v.T)).sum(), rel=2e-3)


def test_a_whole_mass_is_the_balanced_plan():
    u, v = spheres()
    a, b = np.full(40, 1 / 40), np.full(30, 1 / 30)
    balanced = sinkhorn(u, v, cost="cosine", epsilon=0.05, tol=1e-8, dtype="float64").dense()
    nearly = sinkhorn(**partial_problem(u, v, a, b, 1 - 1e-9, 0.05), tol=1e-8, dtype="float64").dense()
    np.testing.assert_allclose(nearly[:-1, :-1], balanced, atol=1e-7)


def test_partial_targets_are_the_plans_own_means():
    u, v = spheres()
    x, y = np.random.default_rng(1).standard_normal((40, 3)), np.random.default_rng(2).standard_normal((30, 4))
    moved = couple((u, v), x, y, NONE, SinkhornOptions(0.05, mass=0.6, tol=1e-7))
    plan = sinkhorn(**partial_problem(u, v, np.full(40, 1 / 40), np.full(30, 1 / 30), 0.6, 0.05), tol=1e-7).dense()
    inner = plan[:-1, :-1]
    np.testing.assert_allclose(moved.to_y, inner @ y / inner.sum(1)[:, None], atol=1e-4)
    np.testing.assert_allclose(moved.to_x, inner.T @ x / inner.sum(0)[:, None], atol=1e-4)
    np.testing.assert_allclose(moved.mass_x, 40 * inner.sum(1), atol=1e-4)
    assert moved.mass_x.mean() == pytest.approx(0.6, abs=1e-4)


def test_what_a_partial_plan_leaves_behind_is_no_partner():
    # One cloud on both sides and a small epsilon: what a row sends goes to its own column, whatever share that is.
    u = spheres()[0]
    x = np.random.default_rng(1).standard_normal((40, 3))
    for mass in (0.5, 0.9):
        moved = couple((u, u), x, x, NONE, SinkhornOptions(3e-3, mass=mass, tol=1e-7), truth=diagonal(40))
        np.testing.assert_allclose([moved.support_x, moved.support_y], 1, atol=0.1)
        assert moved.effective_support == pytest.approx(1, abs=0.02)
        assert moved.true_mass == pytest.approx(mass, rel=0.01)
    # Elsewhere a row's partners are counted by its own mass.
    v, y = spheres()[1], np.random.default_rng(2).standard_normal((30, 4))
    moved = couple((u, v), x, y, NONE, SinkhornOptions(0.05, mass=0.6, tol=1e-7), truth=diagonal(30))
    plan = sinkhorn(**partial_problem(u, v, np.full(40, 1 / 40), np.full(30, 1 / 30), 0.6, 0.05), tol=1e-7).dense()
    inner = plan[:-1, :-1]
    for found, own in ((moved.support_x, inner), (moved.support_y, inner.T)):
        np.testing.assert_allclose(found, np.exp(entropy(own, axis=1)), rtol=1e-3)
    assert moved.true_mass == pytest.approx(np.trace(inner), rel=1e-5)


def outlying(share=0.3):
    """Views whose x has rows that y lacks, far from the others."""
    x, y = views(200)
    foreign = int(share * len(x))
    x[-foreign:] = 6 * x.std() * unit(np.random.default_rng(9).standard_normal((foreign, x.shape[1])))
    return x, y[:-foreign], foreign


@pytest.mark.parametrize("option", [{"mass": 0.7}, {"tau": 0.05}])
def test_rows_without_a_partner_count_less(option):
    x, y, foreign = outlying()
    solved = Warp(cost="procrustes", whiten=None, **option).solve(x, y, diagonal(60))
    assert solved.converged
    assert solved.mass_x[-foreign:].mean() < 0.9 * solved.mass_x[60:-foreign].mean()
    np.testing.assert_allclose(solved.mass_x[:60], 1, atol=0.5)  # the known pairs keep theirs


def test_a_plan_with_exact_marginals_transports_everything():
    x, y = views()
    solved = Warp().solve(x, y, diagonal(30))
    np.testing.assert_allclose(solved.mass_x, 1, atol=1e-6)
    assert (solved.support_x[:30] == 1).all()
    assert (solved.support_x[30:] >= 1 - 1e-6).all()
    assert solved.effective_support == pytest.approx(solved.support_x[30:].mean(), rel=1e-5)


# Rounds: plan, maps, plan in the space that the maps span


def test_rounds_end_when_the_targets_have_settled():
    x, y = views(noise=0.4)
    solved = Warp(rounds=30).solve(x, y, diagonal(30))
    assert 4 < solved.rounds < 30
    assert solved.moved < Warp().settled
    assert Warp(rounds=3).solve(x, y, diagonal(30)).rounds == 3
    assert Warp(rounds=1).solve(x, y, diagonal(30)).moved is None


def test_rounds_help_where_few_pairs_are_known():
    x, y = views(400, noise=0.4)
    once, often = (Warp(rounds=r, confidence=0.25).fit(x, y, diagonal(20)) for r in (1, 6))
    assert recall(often, x, y) > recall(once, x, y) + 0.05


def test_confidence_lets_spread_rows_count_less():
    x, y = views()
    warp = Warp(confidence=0.5)
    solved = warp.solve(x, y, diagonal(30))
    weights, _ = warp._weights(solved)
    assert weights.mean() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(weights * solved.support_x**0.5, weights[0], rtol=1e-4)
    flat, _ = Warp(confidence=0)._weights(solved)
    np.testing.assert_allclose(flat, 1, atol=1e-5)


# Costs


@pytest.mark.parametrize("cost", sorted(COSTS))
def test_every_cost_gives_a_plan(cost):
    x, y = views(120)
    warp = Warp(cost=cost, steps=10, dims=16)
    warp.fit(x, y, diagonal(40) if warp.supervision == "some" else None)
    assert np.isfinite(warp.transform(x)).all()
    assert warp.plan_.n_iter >= 1
    if warp.supervision == "some":
        assert recall(warp, x, y) > 5 / 120


def test_a_cost_that_did_not_converge_marks_the_plan(monkeypatch):
    def unsettled(self, x, y, pairs, seed):
        fitted(self, x, y, pairs, seed)
        self.converged_, self.note_ = False, "no start agreed."

    fitted = Gromov._fit
    monkeypatch.setattr(Gromov, "_fit", unsettled)
    x, y = views(120)
    warp = Warp(cost="gw", steps=0, dims=16, rounds=1).fit(x, y)
    assert not warp.converged_
    assert warp.note_.startswith("cost gw: no start agreed. Plan: ")


# The invertible map


def test_procrustes_recovers_a_rotation_and_a_scale():
    rng = np.random.default_rng(0)
    x, rotation = rng.standard_normal((50, 5)), ortho_group.rvs(5, random_state=0)
    y = 1.7 * x @ rotation + 3
    found, b, scale = procrustes(x, y, y, x, (np.ones(50), np.ones(50)))
    np.testing.assert_allclose(found, rotation, atol=1e-6)
    np.testing.assert_allclose(b, 3, atol=1e-5)
    assert scale == pytest.approx(1.7, rel=1e-5)


def test_procrustes_is_a_minimum_of_both_directions_error():
    rng = np.random.default_rng(0)
    x, to_y, y, to_x = (rng.standard_normal((50, 4)) - 0.1 for _ in range(4))
    weights = rng.random(50) + 0.5, rng.random(50) + 0.5
    centre_x, centre_y = np.average(x, 0, weights[0]), np.average(to_y, 0, weights[0])

    def loss(rotation, scale):
        there = scale * (x - centre_x) @ rotation + centre_y - to_y
        back = (y - centre_y) @ rotation.T / scale + centre_x - to_x
        return sum(np.average((e**2).sum(1), weights=w) for e, w in ((there, weights[0]), (back, weights[1])))

    rotation, _, scale = procrustes(x, to_y, y, to_x, weights)
    for seed in range(20):
        skew = 1e-3 * np.random.default_rng(seed).standard_normal((4, 4))
        nudge = np.linalg.qr(np.eye(4) + skew - skew.T)[0]
        nudge *= np.sign(np.diag(nudge))
        assert loss(rotation @ nudge, scale) > loss(rotation, scale)
    assert min(loss(rotation, scale * 1.001), loss(rotation, scale / 1.001)) > loss(rotation, scale)


def test_the_orthogonal_map_is_invertible():
    x, y = views(dx=20, dy=20)
    warp = Warp(map="orthogonal", whiten=None).fit(x, y, diagonal(60))
    np.testing.assert_allclose(warp.inverse_transform(warp.transform(x)), x, atol=1e-3)
    singular = np.linalg.svd(warp.ab_w_, compute_uv=False)
    np.testing.assert_allclose(singular, singular[0], rtol=1e-4)
    assert recall(warp, x, y) > 0.3


def test_ridge_weights_are_those_of_the_normal_equations():
    rng = np.random.default_rng(0)
    x, y, weights = rng.standard_normal((30, 4)), rng.standard_normal((30, 2)), rng.random(30)
    weights /= weights.mean()
    w, b, penalty = ridge(x, y, weights)
    mx, my = np.average(x, 0, weights), np.average(y, 0, weights)
    gram = (weights[:, None] * (x - mx)).T @ (x - mx) / 30
    np.testing.assert_allclose(
        w, np.linalg.solve(gram + penalty * np.eye(4), (weights[:, None] * (x - mx)).T @ (y - my) / 30), atol=1e-9
    )
    np.testing.assert_allclose(b, my - mx @ w, atol=1e-9)
