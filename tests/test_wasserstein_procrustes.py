"""Wasserstein-Procrustes: a rotation recovered from few pairs and from none, its first step, its stopping."""

from __future__ import annotations

import numpy as np
from rotated_clouds import found, rotated

from ngw.methods._rotation import directions
from ngw.methods.wasserstein_procrustes import POWERS, WHITENS, WassersteinProcrustes


def test_three_pairs_in_ten_dimensions_recover_a_noisy_rotation():
    x, y, partner = rotated(d=10)
    y = y + 0.6 * np.random.default_rng(1).standard_normal(y.shape)
    pairs = np.stack([np.arange(3), partner[:3]], 1)
    fits = [WassersteinProcrustes(rounds=r, power=0.0).fit(x, y, pairs) for r in (0, 8)]
    on_pairs, method = (found(m, x, y, partner) for m in fits)
    assert on_pairs < 0.5
    assert method > 0.95
    np.testing.assert_allclose(fits[1].rotation_.T @ fits[1].rotation_, np.eye(10), atol=1e-5)
    np.testing.assert_allclose(fits[1].inverse_transform(fits[1].transform(x)), x, atol=1e-3)


def test_without_pairs_it_starts_from_gromov():
    x, y, partner = rotated()
    method = WassersteinProcrustes("gromov", clusters=40, power=0.0, rounds=8)
    assert method.supervision == "none"
    assert WassersteinProcrustes().supervision == "some"
    method.fit(x, y)
    assert found(method, x, y, partner) > 0.95
    assert method.n_pairs_ == 0
    assert method.objective_ < 1


def test_no_round_is_procrustes_on_the_pairs():
    x, y, partner = rotated()
    pairs = np.stack([np.arange(50), partner[:50]], 1)
    method = WassersteinProcrustes(rounds=0, power=0.0).fit(x, y, pairs)
    px, py = method._x(x[pairs[:, 0]]), method._y(y[pairs[:, 1]])
    p, _, qt = np.linalg.svd(px.T @ py)
    np.testing.assert_allclose(method.rotation_, p @ qt, atol=1e-4)
    assert (method.rounds_, method.change_) == (0, 0)


def test_every_row_known_needs_no_transport():
    x, y, partner = rotated(40)
    method = WassersteinProcrustes(power=0.0).fit(x, y, np.stack([np.arange(40), partner], 1))
    assert method.rounds_ == 0
    assert method.converged_
    assert found(method, x, y, partner) == 1


def test_a_run_that_still_moves_says_so():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 80, 10))
    method = WassersteinProcrustes(rounds=1).fit(x, y, np.arange(3))
    assert not method.converged_
    assert "round 1, the last" in method.note_


def noisy(n=160, seed=0):
    """Two views [n, 60] of 6 directions of falling size, under noise in all; row i of x and row i of y."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 6)) * 0.6 ** np.arange(6)
    return (z @ rng.standard_normal((6, 60)) + rng.standard_normal((n, 60)) for _ in range(2))


def test_whiten_and_power_are_chosen_on_held_out_pairs():
    x, y = noisy()
    pairs = np.arange(40)
    for seed in range(2):
        method = WassersteinProcrustes().fit(x, y, pairs, seed)
        given = WassersteinProcrustes(whiten=method.whiten_, power=method.power_).fit(x, y, pairs, seed)
        for ours, theirs in zip(method.embed(x, y), given.embed(x, y), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(method.inverse_transform(y), given.inverse_transform(y))
        again = method.fit(x, y, pairs, seed)  # nothing of the fit before
        np.testing.assert_array_equal(again.transform(x), given.transform(x))
        assert (method.whiten_, method.power_) == (2.0, 1.0)  # the most damped, since most directions are noise
    few = WassersteinProcrustes().fit(x, y, pairs[:9])
    assert (few.whiten_, few.power_) == (WHITENS[0], POWERS[0])


def test_directions_of_a_diagonal_matrix():
    left, right = directions(np.diag([4.0, 1.0, 0.0]), 1.0)
    np.testing.assert_allclose(np.abs(left), [[1, 0], [0, 0.5], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(left @ right.T, np.diag([1, 0.25, 0]), atol=1e-6)
