"""Gromov-Wasserstein, fused and keypoint-guided costs: against POT and SciPy, and structure that must be recovered."""

from __future__ import annotations

import numpy as np
import pytest
from rotated_clouds import found, rotated
from scipy.spatial.distance import cdist, jensenshannon

from ngw.methods.cca import CCA
from ngw.methods.fused import Fused
from ngw.methods.gromov import Gromov
from ngw.methods.keypoints import Keypoints
from ngw.ot import gromov
from ngw.ot.divergence import jensen_shannon


def test_match_recovers_a_permutation_and_its_objective_is_pots():
    from ot.gromov import gwloss, init_matrix

    x, y, partner = rotated(30, 4, decay=1.5)
    c, d, a = cdist(x, x), cdist(y, y), np.full(30, 1 / 30)
    match = gromov.match(c, d, a, a, starts=6)
    assert (match.plan.argmax(1) == partner).all()
    assert match.objective == pytest.approx(0, abs=1e-8)
    assert match.converged
    assert match.agreeing >= 2
    half = gromov.match(c, d[:20, :20], a, a[:20], starts=3)
    direct = np.einsum("ijkl,ij,kl->", (c[:, None, :, None] - d[None, :20, None, :20]) ** 2, half.plan, half.plan)
    assert half.objective == pytest.approx(direct, rel=1e-6)
    terms = init_matrix(c, d[:20, :20], a, np.full(20, 1 / 20), "square_loss")
    assert half.objective == pytest.approx(gwloss(*terms, half.plan), rel=1e-6)
    np.testing.assert_allclose(half.plan.sum(1), a, atol=1e-9)
    assert half.objectives.min() < 1  # better than the product plan


def test_spread_is_zero_for_one_start_and_not_where_starts_disagree():
    rng = np.random.default_rng(0)
    c, d = (cdist(z, z) for z in rng.standard_normal((2, 25, 6)))
    a = np.full(25, 1 / 25)
    assert gromov.match(c, d, a, a, starts=1).spread == 0
    several = gromov.match(c, d, a, a, starts=5)
    assert several.spread > 0
    assert several.spread == pytest.approx(several.objectives.max() - several.objectives.min())
    with pytest.raises(ValueError, match="one start or more"):
        gromov.match(c, d, a, a, starts=0)


def test_profiles_of_equal_weights_are_quantiles():
    c = np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 2.0], [4.0, 2.0, 0.0]])
    expected = [[0, 1, 4], [0, 1, 2], [0, 2, 4]]
    np.testing.assert_allclose(gromov.profiles(c, np.full(3, 1 / 3), quantiles=3), expected)


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_rounds_end_where_pots_entropic_solver_does(alpha):
    import ot

    rng = np.random.default_rng(1)
    x = rng.standard_normal((25, 3)) * [3, 2, 1]
    y = (x @ np.linalg.qr(rng.standard_normal((3, 3)))[0])[rng.permutation(25)] + 0.1 * rng.standard_normal((25, 3))
    x, y = x - x.mean(0), y - y.mean(0)
    u, v = rng.standard_normal((2, 25, 2))
    a, epsilon, start = np.full(25, 1 / 25), 8.0, x.T @ y / 25
    begin = ot.sinkhorn(a, a, -alpha * u @ v.T - 4 * (1 - alpha) * x @ start @ y.T, epsilon, method="sinkhorn_log")
    plan = ot.gromov.entropic_fused_gromov_wasserstein(
        -u @ v.T * alpha / max(alpha, 1e-9), x @ x.T, y @ y.T, a, a, "square_loss", epsilon, True, 1 - alpha, begin,
        max_iter=2000, tol=1e-10,
    )  # fmt: skip
    x, y, start = (z.astype(np.float32) for z in (x, y, start))
    linear = None if not alpha else (u.astype(np.float32), v.astype(np.float32))
    end = gromov.refine(
        x, y, start, epsilon=epsilon, linear=linear, alpha=alpha, max_iter=300, tol=1e-6, inner_tol=1e-5
    )
    assert end.converged, end.reason
    assert np.abs(end.coupling.dense() - plan).sum() < 5e-3
    np.testing.assert_allclose(end.cross, x.T @ plan @ y, atol=5e-3)


def test_rounds_that_do_not_settle_say_so():
    x, y, _ = rotated(40, 4, decay=1.5)
    x, y = ((z - z.mean(0)).astype(np.float32) for z in (x, y))
    end = gromov.refine(x, y, x.T @ y / 40, epsilon=0.05 * gromov.product_objective(x, y), max_iter=1, tol=1e-9)
    assert not end.converged
    assert "after 1 rounds" in end.reason


def test_product_objective_is_the_double_sum():
    x, y, _ = rotated(12, 4, decay=1.5)
    x, y = x - x.mean(0), y - y.mean(0)
    direct = ((x @ x.T)[:, None, :, None] - (y @ y.T)[None, :, None, :]) ** 2
    assert gromov.product_objective(x, y) == pytest.approx(direct.mean())


def test_gromov_recovers_a_rotated_cloud_without_a_pair():
    x, y, partner = rotated(d=4, decay=1.5)
    method = Gromov(clusters=40, whiten=0.01).fit(x, y)
    assert found(method, x, y, partner) > 0.95
    np.testing.assert_allclose(method.transform(x)[np.argsort(partner)], y, atol=0.3)
    assert method.objective_ < 0.2


def test_gromov_between_unrelated_clouds_is_not_trusted():
    rng = np.random.default_rng(0)
    method = Gromov(clusters=20, starts=4).fit(rng.standard_normal((80, 8)), rng.standard_normal((80, 8)))
    assert method.spread_ > 0
    assert not method.converged_
    assert "restarts disagree" in method.note_


def test_fused_of_alpha_one_is_cca():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 6))
    y = x @ rng.standard_normal((6, 5)) + 0.1 * rng.standard_normal((60, 5))
    pairs, options = np.arange(20), {"ridge": 0.1, "power": 1.0, "hubness": False}
    fused, cca = Fused(alpha=1.0, **options).fit(x, y, pairs), CCA(**options).fit(x, y, pairs)
    (u, v), (p, q) = fused.embed(x, y), cca.embed(x, y)
    np.testing.assert_allclose(u @ v.T, p @ q.T, atol=1e-5)
    (u, v), (s, t) = (Fused(alpha=a, **options).fit(x, y, pairs).embed(x, y) for a in (0.5, 0.0))
    r = p.shape[1]
    np.testing.assert_allclose(u[:, :r] @ v[:, :r].T, p @ q.T / 2, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(s[:, :r]), 0)
    assert ((s @ t.T).argmax(1) == np.arange(60)).mean() > 0.3  # structure alone, from the pairs' start


def test_jensen_shannon_is_scipys_squared():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.full(5, 0.3), 7), rng.dirichlet(np.full(5, 0.3), 9)
    p[0], q[0], q[1] = np.eye(5)[0], np.eye(5)[1], p[1]
    expected = np.array([[jensenshannon(a, b) ** 2 for b in q] for a in p])
    for memory in (1, 200, 1 << 20):  # tiles of one entry, of some, the whole
        np.testing.assert_allclose(jensen_shannon(p, q, memory), expected, atol=1e-6)
    assert jensen_shannon(p, q)[0, 0] == pytest.approx(np.log(2), rel=1e-6)
    assert jensen_shannon(p, q)[1, 1] < 1e-6
    with pytest.raises(ValueError, match="distributions"):
        jensen_shannon(p * 2, q)
    with pytest.raises(ValueError, match="columns"):
        jensen_shannon(p, np.eye(4))


def test_keypoints_know_a_rotated_cloud_from_few_pairs():
    x, y, partner = rotated(100, 6, decay=1.5)
    pairs = np.stack([np.arange(15), partner[:15]], 1)
    method = Keypoints(temperature=0.05).fit(x, y, pairs)
    cost = method.cost(x, y)
    assert cost.dtype == np.float32
    assert (cost.argmin(1) == partner).mean() > 0.8
    u, v = method.embed(x, y)
    np.testing.assert_allclose((u**2).sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(cost, jensen_shannon(u**2, v**2), atol=1e-5)


def test_at_most_so_many_keypoints():
    x, y, partner = rotated(100, 6, decay=1.5)
    method = Keypoints(keypoints=8).fit(x, y, np.stack([np.arange(100), partner], 1))
    assert method.embed(x, y)[0].shape == (100, 8)
