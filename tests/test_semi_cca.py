"""Semi-supervised CCA: against the generalised eigenproblem; CCA with all pairs; unpaired rows count."""

from __future__ import annotations

import numpy as np
from scipy import linalg
from test_closed_forms import build, views

from ngw.methods._variates import solve


def test_semi_cca_equals_the_generalised_eigenproblem_with_covariances_of_all_rows():
    x, y = views(300)
    y, k = y[:250], 60
    x, y = x - x.mean(0), y - y.mean(0)
    px, py = (z[:k] - z[:k].mean(0) for z in (x, y))
    cx, cy, cross = x.T @ x / 300, y.T @ y / 250, px.T @ py / k
    expected = linalg.eigh(cross @ np.linalg.solve(cy, cross.T), cx, eigvals_only=True)[::-1][:7]
    rho = solve(x[:k], y[:k], [1e-12], (x[k:], y[k:]))[0][2]
    np.testing.assert_allclose(rho**2, expected, atol=1e-6)


def test_semi_cca_with_all_pairs_is_cca():
    x, y = views(60)
    semi, cca = (build(kind).fit(x, y, np.arange(60)) for kind in ("semi-cca", "cca"))
    for left, right in zip(semi.embed(x, y), cca.embed(x, y), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_semi_cca_learns_from_rows_without_a_pair_whatever_their_order():
    x, y = views(120)
    options = {"ridge": 0.1, "power": 1.0, "hubness": False}
    order = np.r_[:30, 30 + np.random.default_rng(1).permutation(90)]
    here, moved, fewer = (
        build("semi-cca", **options).fit(x[rows], y, np.arange(30)).embed(x, y)[0]
        for rows in (slice(None), order, order[:80])
    )
    np.testing.assert_allclose(np.abs(here), np.abs(moved), atol=1e-4)
    assert np.abs(np.abs(here) - np.abs(fewer)).max() > 1e-2
