"""Wrong known pairs: the others contradict them, so that NGW takes their rows for unpaired ones."""

from __future__ import annotations

import numpy as np
import pytest

from ngw import methods
from ngw.comparison import compare, table
from ngw.dual.align import Album, _compared
from ngw.errors import InputError
from ngw.maps.linear import left_out, ridge
from ngw.methods import _wrong_pairs
from ngw.methods._given import mislead
from ngw.methods._transport import SinkhornOptions, couple, pin
from ngw.methods._wrong_pairs import judge, mixture, probability
from ngw.methods.warp import Warp
from ngw.metrics.retrieval import ranks


def views(n, seed=0, noise=0.3, per_image=1, latent=8):
    """Noisy linear views float32 x [n, 24], y [n per_image, 20] of one latent cloud, and the true pairs."""
    rng = np.random.default_rng(seed)
    z, to_x, to_y = (rng.standard_normal(shape) for shape in ((n, latent), (latent, 24), (latent, 20)))
    x, y = z @ to_x, np.repeat(z, per_image, 0) @ to_y
    x, y = (v + noise * rng.standard_normal(v.shape) for v in (x, y))
    pairs = np.stack([np.repeat(np.arange(n), per_image), np.arange(n * per_image)], axis=1)
    return x.astype(np.float32), y.astype(np.float32), pairs


def predictions(x, y, penalty, group, weights):
    """What the regression on the other groups (weighted sum of squares + penalty |w|^2) predicts for each row."""
    found = []
    for i in range(len(x)):
        rest, root = group != group[i], np.sqrt(weights)[:, None]
        mx, my = (np.average(z[rest], 0, weights[rest]) for z in (x, y))
        xc, yc = ((root * (z - mean))[rest] for z, mean in ((x, mx), (y, my)))
        w = np.linalg.solve(xc.T @ xc + penalty * np.eye(x.shape[1]), xc.T @ yc)
        found.append(my + (x[i] - mx) @ w)
    return np.array(found)


@pytest.mark.parametrize("d", [4, 20])
@pytest.mark.parametrize("size", [1, 3])
def test_rows_left_out_are_predicted_by_the_other_groups(d, size):
    x, y = np.random.default_rng(1).standard_normal((15, d)), np.random.default_rng(2).standard_normal((15, 3))
    y += x[:, :3]
    group, weights = np.arange(15) // size, np.random.default_rng(0).uniform(0.01, 2, 15)
    weights /= weights.mean()
    penalty = 15 * ridge(x, y, weights, group)[2]  # of the sum of squares
    expected = predictions(x, y, penalty, group, weights)
    np.testing.assert_allclose(left_out(x, y, weights, group), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize("per_image", [1, 5])
def test_wrong_pairs_are_found_and_right_ones_stay(share, per_image):
    x, y, pairs = views(1200 // per_image, per_image=per_image)
    given = mislead(pairs, share, 0)
    wrong = (given != pairs).any(1)
    belief = judge(x, y, given)
    assert belief[~wrong].mean() > 0.97
    assert belief[wrong].mean() < 0.15


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [0.1, 1.0, 3.0])  # rows that find each other, and rows that hardly do
def test_no_pair_is_doubted_where_none_is_wrong(seed, noise):
    assert (judge(*views(200, seed, noise)) == 1).all()


def test_pairs_that_cannot_judge_each_other_stay():
    x, y, pairs = views(200)
    assert (judge(x, y, mislead(pairs, 1, 0)) == 1).all()  # all are wrong
    assert (judge(x, y, mislead(pairs[:150], 0.3, 0)) == 1).all()  # too few
    assert judge(x, y, pairs[:0]).shape == (0,)


def test_many_pairs_judge_each_other_in_parts(monkeypatch):
    x, y, pairs = views(600)
    given, together = mislead(pairs, 0.2, 0), []

    def spied(x, y, pairs):
        together.append(len(pairs))
        return probability(x, y, pairs)

    monkeypatch.setattr(_wrong_pairs, "TOGETHER", 250)
    monkeypatch.setattr(_wrong_pairs, "probability", spied)
    assert ((judge(x, y, given) > 0) == (given == pairs).all(1)).mean() > 0.97
    assert together == [200, 200, 200]


def test_a_mixture_gives_back_its_share():
    rng = np.random.default_rng(0)
    wrong = np.arange(2000) < 500
    probable, share = mixture(np.where(wrong, rng.standard_normal(2000), 3 + 0.7 * rng.standard_normal(2000)))
    assert share == pytest.approx(0.25, abs=0.02)
    assert probable[~wrong].mean() > 0.95 > 0.15 > probable[wrong].mean()


def test_ngw_loses_less_to_wrong_pairs_and_names_them(tmp_path):
    x, y, pairs = views(350, seed=1, noise=1.5, latent=16)
    train_x, train_y, known = x[:250], y[:250], mislead(pairs[:250], 0.3, 0)
    wrong = np.flatnonzero((known != pairs[:250]).any(1))

    def recall(method):
        u, v = method.fit(train_x, train_y, known).embed(x[250:], y[250:])
        return np.mean([(r == 1).mean() for r in ranks(u, v, np.arange(100))])

    robust = Warp()
    assert recall(robust) > recall(Warp(robust=False)) + 0.05
    doubted = np.flatnonzero(robust.pair_belief_ == 0)
    assert np.isin(wrong, doubted).mean() > 0.7
    assert np.isin(doubted, wrong).mean() > 0.9
    robust.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(methods.load(tmp_path / "model.safetensors").pair_belief_, robust.pair_belief_)
    assert (Warp(robust=False).fit(train_x, train_y, known).pair_belief_ == 1).all()


def test_maps_are_fitted_to_the_pairs_that_the_plan_believed():
    x, y, pairs = views(350, seed=1, noise=1.5, latent=16)
    known = mislead(pairs[:250], 0.3, 0)
    plan = Warp().solve(x, y, known)
    staged, whole = Warp().fit_maps(x, y, known, plan), Warp().fit(x, y, known)
    np.testing.assert_array_equal(staged.pair_belief_, whole.pair_belief_)
    assert plan.diagnostics()["doubted"] == (whole.pair_belief_ == 0).sum() > 0
    np.testing.assert_array_equal(staged.transform(x), whole.transform(x))
    with pytest.raises(InputError, match="expected a plan of 249 known pairs, found 250; solve it again"):
        Warp().fit_maps(x, y, known[:249], plan)


def test_a_comparison_names_the_pairs_that_were_left_out(monkeypatch):
    x, y, pairs = views(330)
    y = y[mislead(pairs, 0.1, 0)[:, 1]]
    wrong = np.flatnonzero((mislead(pairs, 0.1, 0) != pairs).any(1))
    found = compare(x, y, pairs=[300, 20], test=30, methods=["ngw", "ngw~robust=false", "cca"], seed=[0, 1])
    for run in found.runs:
        if run.method == "ngw" and run.pairs == "300":
            assert np.isin(run.doubted, wrong).mean() > 0.9
            assert len(run.doubted) > 20
        else:
            assert not len(run.doubted)
    lines, doubted = str(found).splitlines(), np.sort(found.runs[0].doubted)
    words = f"ngw, 300 known pairs (seed 0): left out {len(doubted)} that contradict the others, rows "
    assert lines[-1] == f"{words}{', '.join(map(str, doubted))}; check them."
    monkeypatch.setattr(table, "MOST_NAMED", 2)
    assert str(found).endswith(f"{words}{doubted[0]}, {doubted[1]} and {len(doubted) - 2} more; check them.")
    assert sum("left out" in line for line in lines) == 1


def test_captions_that_were_left_out_are_named_by_their_lines():
    x, y, pairs = views(320)
    wrong = mislead(pairs, 0.1, 0)[:, 1]
    names, lines = [f"{k}.png" for k in range(320)], list(range(2, 644, 2)[:320])  # each caption spans two lines
    photos = Album(names, 320, [""] * 320, list(range(320)), lines, "")
    how = {"pairs": "all", "test": 20, "methods": ["ngw"], "seed": 0}
    doubted = _compared(photos, x, y[wrong], how)[0].runs[0].doubted
    assert len(doubted) > 20
    assert np.isin(doubted, np.array(lines)[wrong != np.arange(320)]).mean() > 0.9


def test_a_half_believed_pair_keeps_half_of_its_mass():
    rng = np.random.default_rng(0)
    x, y = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in rng.standard_normal((2, 6, 4)))
    pairs = np.array([[0, 1], [2, 2]])
    share, rest_x, rest_y = pin(np.full(6, 1 / 6), np.full(6, 1 / 6), pairs, np.array([1, 0.5]))
    np.testing.assert_allclose(share, [1 / 6, 1 / 12])
    np.testing.assert_allclose(rest_x, np.array([0, 2, 1, 2, 2, 2]) / 12)
    np.testing.assert_allclose(rest_y, np.array([2, 0, 1, 2, 2, 2]) / 12)
    options = SinkhornOptions(epsilon=0.1)
    free = couple((x, y), x, y, pairs[:1], options, wanted=None)
    half = couple((x, y), x, y, pairs, options, belief=np.array([1, 0.5]))
    whole = couple((x, y), x, y, pairs, options)
    near = [np.linalg.norm(plan.to_y[2] - y[2]) for plan in (whole, half, free)]
    assert near[0] < 1e-6 < near[1] < near[2]
    np.testing.assert_allclose(half.mass_x, 1, rtol=1e-4)  # the marginals are what they were
