"""Contrastive heads and STRUCTURE: both losses by hand and by NumPy, gradients by differences, a known latent found."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, rel_entr, softmax

from ngw.maps import heads
from ngw.methods.base import unit
from ngw.methods.cca import CCA
from ngw.methods.contrastive import Contrastive
from ngw.methods.structure import Structure
from ngw.metrics.retrieval import ranks
from ngw.nn import losses

SCORES = np.random.default_rng(0).standard_normal((5, 5)) * 3


def tensor(a):
    return torch.tensor(a, dtype=torch.float64)


def test_infonce_by_hand():
    # Rows and columns of two: -log(e^2 / (e^2 + 1)) each.
    assert losses.infonce(tensor([[2.0, 0.0], [0.0, 2.0]])).item() == pytest.approx(np.log1p(np.exp(-2)))
    # Constant scores tell nothing: log of the number of rows.
    assert losses.infonce(tensor(np.ones((7, 7)))).item() == pytest.approx(np.log(7))


def test_infonce_is_the_mean_of_both_directions_cross_entropies():
    expected = -(np.diag(log_softmax(SCORES, 0)).mean() + np.diag(log_softmax(SCORES, 1)).mean()) / 2
    assert losses.infonce(tensor(SCORES)).item() == pytest.approx(expected)


def test_sigmoid_by_hand():
    # Zero scores: each of the n * n decisions is a coin's, log 2, and the sum is divided by n.
    assert losses.sigmoid(tensor(np.zeros((3, 3)))).item() == pytest.approx(3 * np.log(2))


def test_sigmoid_is_the_likelihood_of_one_decision_a_pair_of_rows():
    chance = np.where(np.eye(5, dtype=bool), expit(SCORES), 1 - expit(SCORES))
    assert losses.sigmoid(tensor(SCORES)).item() == pytest.approx(-np.log(chance).sum() / 5)


def walks(rows, levels, temperature=0.2):
    """STRUCTURE's random walks P^1 .. P^levels, in NumPy."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows - rows.mean(0)
    p = softmax(rows @ rows.T / temperature, axis=1)
    return [np.linalg.matrix_power(p, level) for level in range(1, levels + 1)]


def from_the_mean(p, q):
    """(KL(m | p) + KL(m | q)) / 2, mean over rows: what STRUCTURE's authors train with."""
    m = (p + q) / 2
    return (rel_entr(m, p) + rel_entr(m, q)).sum(1).mean() / 2


@pytest.mark.parametrize("levels", [1, 3])
def test_structure_is_the_weighted_mean_divergence_of_the_walks_powers(levels):
    rng = np.random.default_rng(1)
    x, u = rng.standard_normal((8, 6)), rng.standard_normal((8, 4))
    pairs = enumerate(zip(walks(x, levels), walks(u, levels), strict=True), 1)
    expected = sum(from_the_mean(p, q) / level for level, (p, q) in pairs) / levels
    found = heads.structure(heads.cosines(tensor(x)), heads.cosines(tensor(u)), levels, 0.2)
    assert found.item() == pytest.approx(expected)


def test_the_structure_weight_has_the_size_that_its_authors_gave_it():
    # Random features, 64 rows, their temperature: theirs is .0022 here, the symmetric divergence of the paper .0005.
    rng = np.random.default_rng(0)
    x, u = rng.standard_normal((64, 48)), rng.standard_normal((64, 24))
    (p,), (q,) = walks(x, 1, 0.07), walks(u, 1, 0.07)
    found = heads.structure(heads.cosines(tensor(x)), heads.cosines(tensor(u)), 1, 0.07).item()
    assert found == pytest.approx(from_the_mean(p, q), rel=1e-6)
    assert found > 3 * (rel_entr(p, (p + q) / 2) + rel_entr(q, (p + q) / 2)).sum(1).mean() / 2


def test_an_isometry_changes_no_structure_and_a_collapse_does():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((9, 5))
    turn = np.linalg.qr(rng.standard_normal((7, 5)))[0].T  # [5, 7], orthonormal rows: into a wider space
    frozen = heads.cosines(tensor(x))
    assert heads.structure(frozen, heads.cosines(tensor(3 * x @ turn)), 3, 0.1).item() == pytest.approx(0, abs=1e-12)
    assert heads.structure(frozen, heads.cosines(tensor(np.ones((9, 2)))), 3, 0.1).item() > 0.1


def test_the_divergence_from_the_mean_by_hand():
    # The mean is (1, 1) / 2: from it to either, log(2/3) / 2 + log(2) / 2.
    found = heads.from_the_mean(tensor([[0.75, 0.25]]), tensor([[0.25, 0.75]])).item()
    assert found == pytest.approx(np.log(4 / 3) / 2)


@pytest.mark.parametrize("loss", heads.LOSSES)
@pytest.mark.parametrize("weight", [0.0, 10.0])
def test_gradients_agree_with_finite_differences(loss, weight):
    rng = np.random.default_rng(3)
    sides = tuple(heads.Side(rng.standard_normal((6, d)), rng.standard_normal((d, 3))) for d in (5, 4))
    recipe = heads.Recipe(loss, structure=weight, levels=2, temperature=0.3)

    def value(delta_x, delta_y, scale, bias):
        sides[0].delta, sides[1].delta = delta_x, delta_y
        return heads.objective(sides, torch.arange(6), scale, bias, recipe)

    point = [0.1 * torch.randn(n, 3, dtype=torch.float64, generator=torch.manual_seed(0)) for n in (5, 4)]
    point += [tensor(1.0), tensor(-2.0)]
    assert torch.autograd.gradcheck(value, [p.requires_grad_() for p in point])


def test_rows_without_a_pair_are_false_against_every_row_of_a_pair():
    rng = np.random.default_rng(7)
    shapes = (((6, d), (d, 3), (4, d)) for d in (5, 4))
    sides = tuple(heads.Side(*(rng.standard_normal(shape).astype(np.float32) for shape in three)) for three in shapes)
    u, v = (unit(side.x.numpy() @ side.head()) for side in sides)
    far_x, far_y = (unit(side.rest.numpy() @ side.head()) for side in sides)
    expected = -sum(np.log(expit(-(2 * s - 1))).sum() for s in (u @ far_y.T, far_x @ v.T)) / 6
    rows = (torch.arange(6), (torch.arange(4), torch.arange(4)))
    assert heads.apart(sides, *rows, torch.tensor(np.log(2.0)), torch.tensor(-1.0)).item() == pytest.approx(
        expected, rel=1e-4
    )


def test_negatives_are_learnt_from_and_are_for_the_sigmoid_loss():
    x, y = views(120)
    options = {"steps": 5, "pull": 0.1, "hubness": False}
    plain, more = (Contrastive(negatives=k, **options).fit(x, y, np.arange(40)) for k in (0, 16))
    assert np.abs(plain.a_ - more.a_).max() > 1e-4
    assert np.isfinite(Contrastive(negatives=16, **options).fit(x[:40], y[:40], np.arange(40)).a_).all()  # none is left
    with pytest.raises(ValueError, match="for the sigmoid loss"):
        Contrastive("infonce", negatives=16)


def views(n=400, noise=0.3, seed=4):
    """Two noisy linear views of one latent cloud [n, 6]: x [n, 30], y [n, 20], row i with row i."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 6))
    return tuple(z @ rng.standard_normal((6, d)) + noise * rng.standard_normal((n, d)) for d in (30, 20))


def recall(method, x, y):
    return np.mean(np.concatenate(ranks(*method.embed(x, y), np.arange(len(x)))) == 1)


KINDS = [Contrastive, partial(Contrastive, "infonce"), Structure]
every = pytest.mark.parametrize("kind", KINDS, ids=["sigmoid", "infonce", "structure"])


@every
def test_the_common_latent_is_found_from_a_tenth_of_the_pairs(kind):
    x, y = views()
    method = kind().fit(x, y, np.arange(40))
    assert recall(method, x[40:], y[40:]) > 0.9
    error = ((method.transform(x[40:]) - y[40:]) ** 2).mean() / y.var()
    assert error < 0.1


@every
def test_without_a_step_the_heads_are_ccas(kind):
    x, y = views()
    method, cca = kind(steps=0, pull=1.0).fit(x, y, np.arange(40)), CCA().fit(x, y, np.arange(40))
    for u, v in zip(method.embed(x, y), cca.embed(x, y), strict=True):
        np.testing.assert_allclose(u, v, atol=1e-4)
    np.testing.assert_allclose(method.transform(x), cca.transform(x), rtol=1e-2, atol=1e-2)


@every
def test_training_lowers_its_loss_and_a_strong_pull_keeps_the_start(kind):
    x, y = views(noise=3.0)
    free = kind(steps=60, pull=0.0, learning_rate=1e-2, hubness=False).fit(x, y, np.arange(100))
    held = kind(steps=60, pull=1e3, learning_rate=1e-4, hubness=False).fit(x, y, np.arange(100))
    start = kind(steps=0, pull=0.0, hubness=False).fit(x, y, np.arange(100))

    def loss(method):
        u, v = (torch.from_numpy(z) for z in method.embed(x[:100], y[:100]))
        return losses.infonce(u @ v.T / 0.07).item()

    def moved(method):
        return np.linalg.norm(method.embed(x, y)[0] - start.embed(x, y)[0]) / np.sqrt(len(x))

    assert loss(free) < loss(start) / 2
    assert moved(held) < 0.02 < moved(free)


def test_the_structure_term_keeps_structure():
    x, y = views(noise=1.0)
    options = {"steps": 60, "pull": 0.0, "learning_rate": 1e-2, "hubness": False}
    plain = Contrastive(**options).fit(x, y, np.arange(100))
    kept = Structure(weight=100.0, **options).fit(x, y, np.arange(100))

    def change(method):
        aligned = heads.cosines(torch.from_numpy(method.embed(x, y)[0]))
        return heads.structure(heads.cosines(torch.from_numpy(method._x(x))), aligned, 1, 0.07).item()

    assert change(kept) < change(plain) / 2


@every
def test_batches_are_drawn_by_the_seed(kind):
    x, y = views()
    first, again, other = (kind(steps=5, pull=0.1, batch=16).fit(x, y, np.arange(60), seed) for seed in (1, 1, 2))
    assert (first.a_ == again.a_).all()
    assert (first.b_ == again.b_).all()
    if (first.ridge_, first.power_) == (other.ridge_, other.power_):
        assert not np.allclose(first.a_, other.a_, atol=1e-7)


def test_the_width_bounds_the_shared_space_and_pairs_alone_are_learnt_from():
    x, y = views()
    method = Contrastive(width=3).fit(x, y, np.arange(50))
    assert method.a_.shape == (30, 3)
    order = np.r_[:50, 50 + np.random.default_rng(5).permutation(350)]
    moved = Contrastive(width=3).fit(x[order], y, np.arange(50))
    np.testing.assert_allclose(np.abs(moved.embed(x, y)[0]), np.abs(method.embed(x, y)[0]), atol=1e-2)


def test_settings_are_chosen_on_held_out_pairs_and_are_few():
    x, y = views()
    method = Contrastive().fit(x, y, np.arange(50))
    from ngw.methods.contrastive import MARKS, PULLS

    assert method.pull_ in PULLS
    assert method.steps_ in MARKS
    assert len(PULLS) * len(MARKS) <= 12
    rng = np.random.default_rng(6)  # without a common latent nothing is gained by training on, and the fit still stands
    noise = Contrastive().fit(rng.standard_normal((60, 9)), rng.standard_normal((60, 7)), np.arange(60))
    assert all(np.isfinite(z).all() for z in (unit(noise.a_), unit(noise.b_)))
