"""Rounds between large clouds: in fewer coordinates, and all but the last one are hints, of some rows."""

from __future__ import annotations

import numpy as np
import pytest
from test_warp import diagonal, recall, views

from ngw.methods import _clouds
from ngw.methods._clouds import Computed
from ngw.methods._rounds import cut, narrowed
from ngw.methods._selection import HELD, folds
from ngw.methods._transport import SinkhornOptions, couple
from ngw.methods.base import unit
from ngw.methods.warp import Warp


def space(n=150, m=120, rank=5, width=40, seed=0):
    """Unit rows whose products are of some rank and little besides."""
    rng = np.random.default_rng(seed)
    axes = rng.standard_normal((rank, width))
    return tuple(
        unit(rng.standard_normal((k, rank)) @ axes + 0.01 * rng.standard_normal((k, width))).astype(np.float32)
        for k in (n, m)
    )


def test_rows_of_few_coordinates_have_the_products_of_many():
    u, v = space()
    short, scale, inner = cut((u, v), 0.01, 40)
    short_u, short_v = (z[:] for z in short)
    assert short_u.shape[1] == short_v.shape[1] == 5 + 2
    np.testing.assert_allclose(np.linalg.norm(np.vstack([short_u, short_v]), axis=1), 1, atol=1e-6)
    assert np.sqrt(((scale * short_u @ short_v.T - u @ v.T) ** 2).mean()) <= 0.01
    assert inner == pytest.approx((scale * short_u @ short_v.T).mean(), abs=1e-6)
    assert cut((u, v), 1e-9, 3)[0][0].shape[1] == 3 + 2  # no more than are allowed


def test_rows_that_are_computed_some_at_a_time_are_those_computed_at_once(monkeypatch):
    z, chosen = np.arange(60.0).reshape(20, 3), np.array([19, 0, 7, 7, 3, 2, 1])
    rows = Computed(z, lambda part: part[:, :2] ** 2)
    assert rows.shape == (20, 2)
    for block in (_clouds.BLOCK, 3):
        monkeypatch.setattr(_clouds, "BLOCK", block)
        np.testing.assert_array_equal(rows[:], z[:, :2] ** 2)
        np.testing.assert_array_equal(rows[4:15], z[4:15, :2] ** 2)
        np.testing.assert_array_equal(rows[chosen], z[chosen, :2] ** 2)
        np.testing.assert_array_equal(Computed(chosen, rows.__getitem__)[1:6], z[chosen[1:6], :2] ** 2)


def test_a_plan_in_few_coordinates_is_the_plan_in_many():
    (u, v), options = space(), SinkhornOptions(0.1)
    x, y = (np.random.default_rng(k).standard_normal((len(z), 3)).astype(np.float32) for k, z in enumerate((u, v)))
    short, changed, scale = narrowed((u, v), options, False, 40)
    assert short[0].shape[1] < u.shape[1]
    whole, brief = couple((u, v), x, y, diagonal(0), options), couple(short, x, y, diagonal(0), changed)
    np.testing.assert_allclose(brief.to_y, whole.to_y, atol=0.01)
    np.testing.assert_allclose(brief.to_x, whole.to_x, atol=0.01)
    np.testing.assert_allclose(1 - scale + scale * (brief.f[:, None] + brief.g), whole.f[:, None] + whole.g, atol=0.005)


def test_projections_of_some_rows_are_those_of_the_whole_plan():
    u, v = space()
    x, y = (np.random.default_rng(k).standard_normal((len(z), 3)).astype(np.float32) for k, z in enumerate((u, v)))
    wanted, options = (np.arange(0, 150, 3), np.arange(20, 60)), SinkhornOptions(0.1, tol=1e-6)
    whole, part = (couple((u, v), x, y, diagonal(9), options, None, rows) for rows in (None, wanted))
    for side, target, pinned in ((0, "to_y", 150), (1, "to_x", 120)):
        rows, mass = wanted[side], (part.mass_x, part.mass_y)[side]
        np.testing.assert_allclose(getattr(part, target)[rows], getattr(whole, target)[rows], atol=1e-4)
        assert (mass[rows] > 0).all()
        assert (np.delete(mass, np.union1d(rows, np.arange(9))) == 0).all(), pinned


@pytest.mark.parametrize("tau", [None, 1.0])
def test_a_plan_that_starts_from_its_own_potentials_is_there_at_once(tau):
    (u, v), options = space(), SinkhornOptions(0.02, tau, tol=1e-6)
    x, y = (np.random.default_rng(k).standard_normal((len(z), 3)).astype(np.float32) for k, z in enumerate((u, v)))
    plan = couple((u, v), x, y, diagonal(9), options)
    assert np.isnan(plan.f[:9]).all()  # known pairs took all their mass
    again = couple((u, v), x, y, diagonal(9), options, start=plan.g)
    assert again.n_iter <= 2 < plan.n_iter
    np.testing.assert_allclose(again.to_y, plan.to_y, atol=1e-4)
    np.testing.assert_allclose(again.to_x, plan.to_x, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"tau": 1.0}, {"mass": 0.9}, {"cost": "keypoints"}])
def test_large_clouds_are_matched_as_well_by_hints_and_a_last_round(options):
    x, y = views(400, noise=0.4)
    whole, brief = (Warp(steps=0, **options, **rows).fit(x, y, diagonal(30)) for rows in ({}, {"early_rows": 200}))
    assert brief.plan_.rounds == 6
    assert brief.converged_
    assert recall(brief, x, y) > recall(whole, x, y) - 0.03
    assert np.isfinite(brief.plan_.f[:, 30:]).all()
    assert brief.marginal_error_ <= brief.tol


def test_of_very_many_pairs_some_are_held_out():
    kept, held = folds(diagonal(6 * HELD), 0)[0]
    assert len(held) == HELD
    assert len(kept) == 6 * HELD * 4 // 5
    assert not np.isin(held, kept).any()
