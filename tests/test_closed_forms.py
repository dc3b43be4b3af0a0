"""Closed forms against brute force, a second implementation and examples by hand; controls at chance and at the top."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg
from scipy.stats import ortho_group
from test_warp import recall

from ngw import methods
from ngw.maps.linear import PENALTIES, _Fit, ridge, thin_svd
from ngw.methods._variates import solve
from ngw.methods.procrustes import Procrustes
from ngw.methods.relative import relative


def build(kind, **options):
    return methods.build({"kind": kind, **options})


def views(n, dx=9, dy=7, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 5))
    x, y = (z @ rng.standard_normal((5, d)) + noise * rng.standard_normal((n, d)) for d in (dx, dy))
    return x, y


# Procrustes


@pytest.mark.parametrize(("dx", "dy"), [(6, 6), (4, 9), (9, 4)])
def test_procrustes_recovers_a_rotation_between_any_two_widths(dx, dy):
    rng = np.random.default_rng(0)
    d = min(dx, dy)
    z = rng.standard_normal((50, d))
    into_x, into_y = (ortho_group.rvs(w, random_state=i)[:d] for i, w in enumerate((dx, dy)))  # [d, width], rows unit
    x, y = z @ into_x + 2, 3 * z @ into_y - 1  # the same cloud, turned, moved and scaled
    method = build("procrustes").fit(x, y, np.arange(30))
    np.testing.assert_allclose(method.transform(x), y, atol=1e-4)
    np.testing.assert_allclose(method.inverse_transform(y), x, atol=1e-4)
    np.testing.assert_allclose(method.rotation_, into_x.T @ into_y, atol=1e-5)
    assert method.gain_ == pytest.approx(1, abs=1e-5)


def test_procrustes_is_a_rotation_whatever_the_data():
    x, y = views(40)
    rotation = build("procrustes").fit(x, y, np.arange(40)).rotation_  # [9, 7]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(7), atol=1e-5)


def loud(n=120):
    """The same cloud turned, but one feature of x that says nothing and outweighs the others by a hundred."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((n, 9))
    x, y = z + 0.1 * rng.standard_normal((n, 9)), z @ ortho_group.rvs(9, random_state=0)
    return np.hstack([x, 200 * rng.standard_normal((n, 1))]), y


def test_procrustes_standardises_features_where_held_out_pairs_match_better():
    x, y = loud()
    chosen, plain = (Procrustes(given).fit(x, y, np.arange(40)) for given in (None, False))
    assert chosen.standardise_
    assert recall(chosen, x[40:], y[40:]) > 0.9 > 0.5 > recall(plain, x[40:], y[40:])
    quiet = x[:, :9]  # as good either way, so that the features stay as they are
    same, bare = (Procrustes(given).fit(quiet, y, np.arange(40)) for given in (None, False))
    assert not same.standardise_
    np.testing.assert_array_equal(same.transform(quiet), bare.transform(quiet))
    assert not Procrustes().fit(x, y, np.arange(9)).standardise_  # too few to hold some out


def test_standardised_procrustes_is_plain_procrustes_of_standardised_features():
    x, y = loud()
    x = np.hstack([x, np.full((120, 1), 7.0)])  # a constant feature stays one
    ours = Procrustes(True).fit(x, y, np.arange(40))
    scaled = x[:, :10] / x[:, :10].std(0), y / y.std(0)
    plain = Procrustes(False).fit(*scaled, np.arange(40))
    np.testing.assert_allclose(ours.transform(x), plain.transform(scaled[0]) * y.std(0), rtol=1e-3, atol=1e-3)
    back = plain.inverse_transform(scaled[1]) * x[:, :10].std(0)
    np.testing.assert_allclose(ours.inverse_transform(y)[:, :10], back, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(ours.inverse_transform(y)[:, 10], 7, rtol=1e-6)
    for u, v in zip(ours.embed(x, y), plain.embed(*scaled), strict=True):
        np.testing.assert_allclose(u @ u.T, v @ v.T, atol=1e-4)


# Ridge


@pytest.mark.parametrize(("n", "d", "r"), [(12, 5, 5), (5, 12, 5), (12, 5, 2), (5, 12, 2)])
def test_thin_svd_is_the_singular_value_decomposition_without_its_null_space(n, d, r):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, r)) @ rng.standard_normal((r, d))
    u, s, vt = thin_svd(x)
    assert (u.shape, s.shape, vt.shape) == ((n, r), (r,), (r, d))
    np.testing.assert_allclose(s, np.linalg.svd(x, compute_uv=False)[:r], rtol=1e-9)
    np.testing.assert_allclose((u * s) @ vt, x, atol=1e-9)
    np.testing.assert_allclose(u.T @ u, np.eye(r), atol=1e-7)
    np.testing.assert_allclose(vt @ vt.T, np.eye(r), atol=1e-7)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_thin_svd_of_nothing_is_finite_and_its_regression_zero(shape):
    u, s, vt = thin_svd(np.zeros(shape))
    assert np.isfinite(u).all()
    assert np.isfinite(vt).all()
    np.testing.assert_allclose(s, 0, atol=1e-100)
    w, b, _ = ridge(np.zeros(shape), np.ones((len(u), 2)))
    assert (w == 0).all()
    assert (b == 1).all()


def left_out(x, y, penalty, group):
    """Mean squared error of each row under the regression on the other groups (sum of squares + penalty |w|^2)."""
    errors = []
    for i in range(len(x)):
        rest = group != group[i]
        mx, my = x[rest].mean(0), y[rest].mean(0)
        xc, yc = x[rest] - mx, y[rest] - my
        w = np.linalg.solve(xc.T @ xc + penalty * np.eye(x.shape[1]), xc.T @ yc)
        errors.append((my + (x[i] - mx) @ w - y[i]) ** 2)
    return np.mean(errors)


@pytest.mark.parametrize("d", [4, 20])  # fewer features than rows, and more
def test_ridge_picks_the_penalty_that_leaving_out_each_row_picks(d):
    x, y = views(15, dx=d)
    unit = (thin_svd(x - x.mean(0))[1] ** 2).mean()
    brute = [left_out(x, y, p * unit, np.arange(15)) for p in PENALTIES]
    press = [_Fit(x, y, None, None).press(p * unit) for p in PENALTIES]
    np.testing.assert_allclose(press, brute, rtol=1e-6)
    assert 0 < np.argmin(brute) < len(PENALTIES) - 1  # the example isn't at the grid's end
    assert ridge(x, y)[2] == pytest.approx(PENALTIES[int(np.argmin(brute))] * unit / len(x))


@pytest.mark.parametrize("d", [4, 20])
def test_ridge_leaves_an_images_captions_out_together(d):
    # Images of one to four captions; what the captions of one say tells nothing of another image's.
    draw = np.random.default_rng(1)
    group = draw.permutation(np.arange(12).repeat([1, 2, 3, 4] * 3))
    images, said = draw.standard_normal((12, d)), draw.standard_normal((12, 6))
    x, y = images[group], said[group] + 0.1 * draw.standard_normal((30, 6))
    for a, b in ((x, y), (y, x)):
        unit = (thin_svd(a - a.mean(0))[1] ** 2).mean()
        together, alone = (
            [left_out(a, b, p * unit, rows) for p in PENALTIES] for rows in (group, np.arange(len(group)))
        )
        penalty = ridge(a, b, group=group)[2] * len(a) / unit
        assert penalty == pytest.approx(PENALTIES[int(np.argmin(together))])
        assert penalty > PENALTIES[int(np.argmin(alone))]  # one left out alone is known from its twins


@pytest.mark.parametrize("d", [4, 20])
def test_ridge_solves_its_normal_equations(d):
    x, y = views(15, dx=d)
    w, b, penalty = ridge(x, y)
    xc, yc = x - x.mean(0), y - y.mean(0)
    np.testing.assert_allclose(w, np.linalg.solve(xc.T @ xc / 15 + penalty * np.eye(d), xc.T @ yc / 15), atol=1e-9)
    np.testing.assert_allclose(b, y.mean(0) - x.mean(0) @ w, atol=1e-12)


def test_ridge_by_hand():
    # x = -1, 1 and y = -2, 2: mean |w x - y|^2 + p w^2 = (w - 2)^2 + p w^2 is least at w = 2 / (1 + p).
    w, b, penalty = ridge(np.array([[-1.0], [1.0]]), np.array([[-2.0], [2.0]]))
    assert w[0, 0] == pytest.approx(2 / (1 + penalty))
    assert b[0] == 0


def test_ridge_method_maps_by_its_regressions():
    x, y = views(60)
    method = build("ridge").fit(x, y, np.arange(40))
    sx, sy = ((z - z.mean(0)) / np.sqrt(((z - z.mean(0)) ** 2).sum(1).mean()) for z in (x, y))
    w, b, _ = ridge(sx[:40], sy[:40])
    image = (sx @ w + b) * np.sqrt(((y - y.mean(0)) ** 2).sum(1).mean()) + y.mean(0)
    np.testing.assert_allclose(method.transform(x), image, atol=1e-4)


# CCA


def test_correlation_of_two_columns_by_hand():
    # Centred, x = (-3, -1, 1, 3) / 2 and y = (-3, 1, -1, 3) / 2: xx = yy = 5, xy = 4. A ridge of r variances in each
    # divides by 1 + r.
    x, y = np.array([[1.0], [2], [3], [4]]), np.array([[1.0], [3], [2], [4]])
    (_, _, free), (_, _, half) = solve(x, y, [1e-12, 0.5])
    assert free[0] == pytest.approx(4 / 5)
    assert half[0] == pytest.approx(4 / 5 / 1.5)


@pytest.mark.parametrize("penalty", [1e-6, 0.1, 3.0])
def test_cca_equals_the_generalised_eigenproblem(penalty):
    x, y = views(80)
    (a, b, rho), *_ = solve(x, y, [penalty])
    xc, yc = x - x.mean(0), y - y.mean(0)
    cxx, cyy, cxy = xc.T @ xc / 80, yc.T @ yc / 80, xc.T @ yc / 80
    cxx += penalty * np.trace(cxx) / 9 * np.eye(9)
    cyy += penalty * np.trace(cyy) / 7 * np.eye(7)
    squared = linalg.eigh(cxy @ np.linalg.solve(cyy, cxy.T), cxx, eigvals_only=True)[::-1]
    np.testing.assert_allclose(rho, np.sqrt(squared[:7].clip(0)), atol=1e-6)
    np.testing.assert_allclose(a.T @ cxx @ a, np.eye(7), atol=1e-8)
    np.testing.assert_allclose(b.T @ cyy @ b, np.eye(7), atol=1e-8)
    np.testing.assert_allclose(a.T @ cxy @ b, np.diag(rho), atol=1e-8)


def test_cca_with_more_features_than_pairs_stays_finite():
    x, y = views(12, dx=40, dy=30)
    for a, b, rho in solve(x, y, [0.003, 3.0]):
        assert np.isfinite(a).all()
        assert np.isfinite(b).all()
        assert (rho >= -1e-12).all()
        assert (rho <= 1 + 1e-12).all()
    constant = solve(np.zeros((5, 3)), y[:5], [0.1])[0]
    assert all(np.isfinite(z).all() for z in constant)
    assert (constant[2] == 0).all()


def test_cca_options_are_kept_and_chosen_ones_come_from_the_grid():
    x, y = views(60)
    free = build("cca", hubness=False).fit(x, y, np.arange(40))
    fixed = build("cca", ridge=free.ridge_, power=free.power_, hubness=False).fit(x, y, np.arange(40))
    assert (fixed.ridge_, fixed.power_) == (free.ridge_, free.power_)
    for left, right in zip(free.embed(x, y), fixed.embed(x, y), strict=True):
        np.testing.assert_array_equal(left, right)
    assert build("cca", dims=3, hubness=False).fit(x, y, np.arange(40)).embed(x, y)[0].shape == (60, 3)


def test_oracle_is_cca_on_all_pairs():
    x, y = views(60)
    oracle, cca = build("oracle").fit(x, y, np.arange(60)), build("cca").fit(x, y, np.arange(60))
    for left, right in zip(oracle.embed(x, y), cca.embed(x, y), strict=True):
        np.testing.assert_array_equal(left, right)
    assert oracle.supervision == "all"
    assert cca.supervision == "some"


# Relative representations


@pytest.mark.parametrize(
    ("z", "power", "keep", "expected"),
    [
        ([0.6, 0.8], 1, 1.0, [0.6, 0.8]),  # the cosines to the anchors (1, 0) and (0, 1)
        ([0.6, 0.8], 2, 1.0, [0.36, 0.64]),
        ([-0.6, 0.8], 2, 1.0, [-0.36, 0.64]),  # the sign stays
        ([0.6, 0.8], 1, 0.5, [0, 0.8]),  # the better half of two
        ([0.6, 0.8], 1, 0.01, [0, 0.8]),  # one at least
    ],
)
def test_relative_to_two_anchors_by_hand(z, power, keep, expected):
    np.testing.assert_allclose(relative(np.array([z]), np.eye(2), power, keep), [expected], atol=1e-12)


def test_relative_maps_a_cross_to_its_turned_copy():
    # The anchors are +-(1, 0), +-(0, 1); their partners the same, turned by 90 degrees and twice as long. For the point
    # (1, 0) the cosines are 1, -1, 0, 0, and the partners so weighted sum to 2 (0, 1): the partner, of length 2.
    x = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    y = 2 * x @ np.array([[0.0, 1], [-1, 0]])
    method = build("relative", power=1, keep=1.0, hubness=False).fit(x, y, np.arange(4))
    np.testing.assert_allclose(method.transform(x), y, atol=1e-6)
    np.testing.assert_allclose(method.inverse_transform(y), x, atol=1e-6)
    np.testing.assert_allclose(method.embed(x, y)[0][0], np.array([1, -1, 0, 0]) / np.sqrt(2), atol=1e-6)


def test_relative_does_not_see_a_rotation():
    x, _ = views(60)
    rotated = x @ ortho_group.rvs(9, random_state=0)
    u, v = build("relative", hubness=False).fit(x, rotated, np.arange(20)).embed(x, rotated)
    assert u.shape == (60, 20)
    np.testing.assert_allclose(u, v, atol=1e-4)


# Controls


@pytest.mark.parametrize("kind", ["random", "unaligned", "cca", "ridge", "procrustes", "relative"])
def test_unrelated_clouds_are_at_chance(kind):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((700, 12)), rng.standard_normal((700, 10))
    method = build(kind).fit(x[:300], y[:300], np.arange(100))
    # 800 queries (not independent) with probability 10 / 400 = 0.025 each: four standard deviations are 0.022.
    assert recall(method, x[300:], y[300:], k=10) == pytest.approx(0.025, abs=0.022)


def test_random_is_at_chance_on_related_clouds_and_the_oracle_is_not():
    x, y = views(400)
    assert recall(build("random").fit(x, y), x, y, k=10) < 0.1
    assert recall(build("oracle").fit(x, y, np.arange(400)), x, y, k=10) > 0.9


def test_unaligned_matches_axes_by_their_order():
    # Axes with distinct variances and skew are found again in a rotated copy, so the copy is aligned without a pair.
    rng = np.random.default_rng(0)
    x = rng.exponential(size=(300, 5)) * [5, 4, 3, 2, 1]
    rotated = x @ ortho_group.rvs(5, random_state=1)
    assert recall(build("unaligned").fit(x, rotated), x, rotated) == 1
    padded = np.hstack([x, np.zeros((300, 2))])
    u, v = build("unaligned", axes="zero-pad").fit(x, padded).embed(x, padded)
    np.testing.assert_allclose(u, v, atol=1e-6)
