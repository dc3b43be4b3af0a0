"""NGW as a whole: the plan, pinned pairs, whitening, and that the unpaired rows help where few pairs are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from ngw import methods
from ngw.methods._transport import pin, true_mass
from ngw.methods._whitened import whitening
from ngw.methods.warp import Warp
from ngw.metrics.retrieval import ranks, recall_at
from ngw.ot import sinkhorn


def views(n=200, m=None, dx=24, dy=20, noise=0.3, seed=0):
    """x [n, dx], y [m, dy]: noisy linear views of one latent cloud; row i belongs to row i."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 12)) * np.linspace(1.5, 0.5, 12)
    x, y = (z @ rng.standard_normal((12, d)) + noise * 12**0.5 * rng.standard_normal((n, d)) for d in (dx, dy))
    return x, y[:m]


def restored(standard, z):
    """Standardised rows in the units of a cloud z."""
    return standard * np.sqrt(((z - z.mean(0)) ** 2).sum(1).mean()) + z.mean(0)


def diagonal(n):
    return np.stack([np.arange(n)] * 2, axis=1)


def recall(method, x, y, k=1):
    """Mean of both directions' R@K where row i belongs to row i."""
    return np.mean([recall_at(side, k) for side in ranks(*method.embed(x, y), np.arange(len(x)))])


def outputs(method, x, y):
    return method.transform(x), method.inverse_transform(y), *method.embed(x, y)


def same(left, right):
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


# Plan


def test_fit_is_solve_then_fit_maps():
    x, y = views()
    whole, parts = Warp(steps=20), Warp(steps=20)
    whole.fit(x, y, np.arange(30), seed=3)
    plan = parts.solve(x, y, np.arange(30), seed=3)
    assert parts.fit_maps(x, y, np.arange(30), plan, seed=3) is parts
    same(outputs(whole, x, y), outputs(parts, x, y))
    assert (whole.n_iter_, whole.marginal_error_, whole.converged_) == (plan.n_iter, plan.marginal_error, True)
    assert whole.marginal_error_ <= whole.tol
    assert (whole.curve_step_ == [0, 10, 20]).all()


def test_targets_of_pinned_pairs_are_their_true_partners():
    x, y = views()
    pairs = np.stack([np.arange(30), np.arange(60, 90)], axis=1)
    plan = Warp(whiten=None).solve(x, y, pairs)
    np.testing.assert_allclose(restored(plan.to_y[:30], y), y[60:90], atol=1e-4)
    np.testing.assert_allclose(restored(plan.to_x[60:90], x), x[:30], atol=1e-4)
    assert np.isnan(plan.f[:30]).all()
    assert np.isfinite(plan.f[30:]).all()
    assert np.isnan(plan.g[60:90]).all()
    free = Warp(whiten=None, pinned=False).solve(x, y, pairs)
    assert np.isfinite(free.f).all()
    assert np.abs(free.to_y[:30] - plan.to_y[:30]).max() > 0.1


def test_barycentric_targets_are_those_of_the_whole_plan():
    # The plan, pinned part and transported part together, as an n x m matrix: it has the marginals, and its rows' means
    # are the targets.
    x, y = views(40, 30)
    warp = Warp(epsilon=0.02, whiten=None, cost="procrustes", rounds=1)
    solved = warp.solve(x, y, diagonal(10))
    sx, sy, pairs = warp._prepare(x, y, diagonal(10))
    share, a, b = pin(np.full(40, 1 / 40), np.full(30, 1 / 30), pairs)
    u, v = (
        methods.build({"kind": "procrustes", "standardise": False, "hubness": False}).fit(sx, sy, pairs).embed(sx, sy)
    )
    rows, columns = a > 0, b > 0
    plan = np.zeros((40, 30))
    plan[np.ix_(rows, columns)] = sinkhorn(
        u[rows], v[columns], epsilon=0.02, cost="cosine", a=a[rows], b=b[columns], tol=1e-7
    ).dense()
    plan[pairs[:, 0], pairs[:, 1]] += share
    np.testing.assert_allclose(plan.sum(0), 1 / 30, atol=1e-6)
    np.testing.assert_allclose(solved.to_y, plan @ sy * 40, atol=5e-3)
    np.testing.assert_allclose(solved.to_x, plan.T @ sx * 30, atol=5e-3)


def test_pinning_by_hand():
    # Two rows of 1/2, four columns of 1/4: row 0 is used up by its two pairs, row 1 keeps a half of its mass.
    share, a, b = pin(np.full(2, 0.5), np.full(4, 0.25), np.array([[0, 0], [0, 1], [1, 2]]))
    np.testing.assert_allclose(share, [0.25, 0.25, 0.25])
    np.testing.assert_allclose(a, [0, 0.25])
    np.testing.assert_allclose(b, [0, 0, 0, 0.25])
    # Three columns of 1/3 for two rows: column 0 gets its third of row 0, of which a sixth is left.
    share, a, b = pin(np.full(2, 1 / 2), np.full(3, 1 / 3), np.array([[0, 0]]))
    np.testing.assert_allclose(share, [1 / 3])
    np.testing.assert_allclose(a, [1 / 6, 1 / 2])
    np.testing.assert_allclose(b, [0, 1 / 3, 1 / 3])


def test_pinning_leaves_no_crumbs_and_its_input_alone():
    a, b = np.full(300, 1 / 300), np.full(700, 1 / 700)
    share, rest_a, rest_b = pin(a, b, np.stack([np.repeat(np.arange(100), 7), np.arange(700)], axis=1))
    assert (a == 1 / 300).all()
    np.testing.assert_allclose(rest_a.sum(), rest_b.sum(), rtol=1e-12)
    np.testing.assert_allclose(share.sum() + rest_a.sum(), 1, rtol=1e-12)
    assert ((rest_a == 0) == (np.arange(300) < 100)).all()  # 7/700 of the mass for each: more than its 1/300


def test_all_pairs_pinned_needs_no_solve():
    x, y = views(60)
    order = np.random.default_rng(0).permutation(60)
    warp = Warp(steps=20)
    pairs = np.stack([order, np.arange(60)], axis=1)
    plan = warp.solve(x[np.argsort(order)], y, pairs, truth=pairs)  # row order[i] of x belongs to row i of y
    assert (plan.n_iter, plan.converged, plan.reason) == (0, True, "every row is a known pair")
    assert plan.marginal_error == 0
    assert plan.effective_support == 1
    assert np.isnan(plan.true_mass)
    np.testing.assert_allclose(plan.to_y[order], warp._prepare(x, y, pairs)[1], atol=1e-6)
    fitted = Warp(steps=20).fit(x, y, np.arange(60))
    assert recall(fitted, x, y) > 0.9


def test_more_rows_on_one_side():
    x, y = views(150, 90)
    for left, right, shapes in ((x, y, ((150, 20), (90, 24))), (y, x, ((90, 24), (150, 20)))):
        warp = Warp(steps=20).fit(left, right, np.arange(30))
        assert warp.converged_
        assert (warp.transform(left).shape, warp.inverse_transform(right).shape) == shapes
        assert recall(warp, left[:90], right[:90], k=5) > 0.8
    # The side with the smaller weights has its partner for a target; the other one's target is its partner's in part.
    plan = Warp(whiten=None).solve(x, y, np.arange(30))
    np.testing.assert_allclose(restored(plan.to_y[:30], y), y[:30], atol=1e-4)
    assert np.isfinite(plan.to_x).all()


def test_true_mass_by_hand():
    # Mean cost 1/2 and epsilon 1: p / q = exp(1 / (1/2)) in the plan [[p, q], [q, p]] / 2, so p = 1 / (1 + exp(-2)).
    plan = sinkhorn(cost=np.array([[0.0, 1], [1, 0]]), epsilon=1.0)
    p = 1 / (1 + np.exp(-2))
    rows = columns = np.array([1, 3])  # rows 0 and 2 of four were pinned
    assert true_mass(plan, rows, columns, diagonal(4), 4, 4) == pytest.approx(p, abs=1e-6)
    crossed = np.array([[1, 3], [3, 1], [0, 0]])
    assert true_mass(plan, rows, columns, crossed, 4, 4) == pytest.approx(1 - p, abs=1e-6)
    assert np.isnan(true_mass(plan, rows, columns, diagonal(1), 4, 4))
    assert np.isnan(true_mass(plan, rows, columns, None, 4, 4))


def test_diagnostics_of_a_plan_without_information_and_of_a_sharp_one():
    # epsilon to infinity: the product plan. Each free row is spread over all 30, of which one is its partner.
    x, y = views(40)
    flat = Warp(epsilon=1e5, sharp_whiten=None).solve(x, y, np.arange(10), truth=diagonal(40)).diagnostics()
    assert flat["effective_support"] == pytest.approx(30, rel=1e-3)
    assert flat["true_mass"] == pytest.approx(1 / 30, rel=1e-2)
    # With the same cloud on both sides, and a small epsilon, a row's mass is its own column's.
    sharp = Warp(epsilon=2e-3, whiten=None, cost="procrustes").solve(x, 5 - 2 * x, np.arange(30), truth=diagonal(40))
    assert sharp.effective_support == pytest.approx(1, abs=1e-2)
    assert sharp.true_mass == pytest.approx(1, abs=1e-2)
    assert np.isnan(Warp().solve(x, y, np.arange(10)).true_mass)


def test_a_plan_that_does_not_converge_is_marked(tmp_path):
    x, y = views()
    warp = Warp(max_iter=1, tol=1e-9, steps=0).fit(x, y, np.arange(30))
    assert not warp.converged_
    assert "max_iter" in warp.note_
    assert warp.marginal_error_ > 1e-9
    warp.save(tmp_path / "model.safetensors")
    loaded = Warp.load(tmp_path / "model.safetensors")
    assert (loaded.converged_, loaded.note_) == (False, warp.note_)
    assert Warp(steps=0).fit(x, y, np.arange(30)).note_ == ""


# What it finds


def test_a_rotation_is_found_from_fewer_pairs_than_dimensions():
    # Six pairs fix a rotation of ten dimensions on five at most; the clouds' shape gives the rest.
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, 10)) * np.linspace(2, 0.6, 10) + 3 * (rng.random((300, 10)) < 0.2)
    y = x @ ortho_group.rvs(10, random_state=0)
    rotation = methods.build({"kind": "procrustes"}).fit(x, y, np.arange(6))
    warp = Warp(whiten=1.0).fit(x, y, np.arange(6))
    assert recall(rotation, x, y) < 0.5
    assert recall(warp, x, y) > 0.95
    error = [((m.transform(x) - y) ** 2).sum() / ((y - y.mean(0)) ** 2).sum() for m in (rotation, warp)]
    assert error[1] < 0.1 < 0.5 < error[0]


def test_unpaired_rows_help_where_few_pairs_are_known():
    # 30 pairs among 600 training rows in unknown order; 200 held-out rows; three seeds.
    found = {kind: [] for kind in ("warp", "cca", "ridge", "shuffled")}
    for seed in range(3):
        x, y = views(800, seed=seed)
        order = np.random.default_rng(seed).permutation(600)
        pairs = np.stack([np.arange(30), np.argsort(order)[:30]], axis=1)
        for kind, recalls in found.items():
            method = methods.build({"kind": kind}).fit(x[:600], y[:600][order], pairs, seed)
            recalls.append(recall(method, x[600:], y[600:]))
    mean = {kind: np.mean(recalls) for kind, recalls in found.items()}
    assert mean["warp"] > max(mean["cca"], mean["ridge"]) + 0.04
    assert mean["shuffled"] < 0.1


def test_raw_cost_is_at_chance():
    x, y = views(300)
    warp = Warp(cost="raw", steps=0)
    assert warp.supervision == "none"
    plan = warp.solve(x, y, truth=diagonal(300))
    assert plan.converged
    assert plan.true_mass < 5 / 300
    assert recall(warp.fit(x, y), x, y, k=10) < 0.1  # chance is 0.033


# Coordinates


def test_whitening_gives_unit_mean_square_norm_and_goes_back():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 7)) @ rng.standard_normal((7, 7))
    x -= x.mean(0)
    white, color = whitening(x, 1.0, dims=99)  # all components: nothing is lost
    assert ((x @ white) ** 2).sum(1).mean() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(x @ white @ color, x, atol=1e-4)
    white, color = whitening(x, 1.0, dims=3)
    assert (white.shape, color.shape) == ((7, 3), (3, 7))
    assert ((x @ white) ** 2).sum(1).mean() == pytest.approx(1, rel=1e-5)
    _, _, vt = np.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(x @ white @ color, x @ vt[:3].T @ vt[:3], atol=1e-4)  # the three leading components


def test_whitening_by_hand():
    # Variances 9 and 1, mean 5: with ridge 1 the axes are divided by sqrt(14) and sqrt(6), and what remains, 9/14 + 1/6
    # of a mean square norm, is brought to 1.
    x = np.array([[3.0, 1], [3, -1], [-3, 1], [-3, -1]])
    white, _ = whitening(x, 1.0, dims=2)
    total = np.sqrt(9 / 14 + 1 / 6)
    np.testing.assert_allclose(np.abs(white), np.diag([1 / 14**0.5, 1 / 6**0.5]) / total, atol=1e-6)


def test_whitening_with_fewer_rows_than_dimensions_stays_finite():
    x = np.random.default_rng(0).standard_normal((6, 20))
    white, color = whitening(x - x.mean(0), 1.0, dims=384)
    assert white.shape == (20, 5)  # six centred rows span five dimensions
    assert np.isfinite(white).all()
    np.testing.assert_allclose((x - x.mean(0)) @ white @ color, x - x.mean(0), atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"whiten": None},
        {"whiten": 0.1, "dims": 8},
        {"cost": "procrustes"},
        {"pinned": False},
        {"epsilon": 0.1},
        {"map": "mlp", "hidden": 32, "steps": 200, "learning_rate": 0.01},
        {"map": "residual", "hidden": 16, "learning_rate": 5e-3},
        {"cycle": 1.0, "smoothness": 0.01},
        {"injectivity": 0.0, "paired": 0.0, "margin": 2.0},
        {"steps": 40, "batch": 8, "max_iter": 500, "tol": 1e-3},
    ],
    ids=str,
)
def test_options_are_heeded_and_survive_the_file(options, tmp_path):
    x, y = views()
    warp = methods.build({"kind": "warp", "steps": 20, **options}).fit(x, y, np.arange(40))
    assert warp.params().items() >= options.items()
    default = Warp(steps=20).fit(x, y, np.arange(40))
    assert np.abs(warp.transform(x) - default.transform(x)).max() > 1e-5
    assert recall(warp, x, y, k=10) > 0.5  # chance is 0.05
    warp.save(tmp_path / "model.safetensors")
    same(outputs(methods.load(tmp_path / "model.safetensors"), x, y), outputs(warp, x, y))
