"""NGW's comparison space: canonical variates by hand, weights that held-out pairs give, no harm by unpaired rows."""

from __future__ import annotations

import numpy as np
import pytest

from ngw import methods
from ngw.features import Features
from ngw.features.clouds import clouds
from ngw.methods._choice import support
from ngw.methods._hubness import NEAREST, nearness, without_hubs
from ngw.methods._readout import Moments, Space
from ngw.methods._selection import speak_against, standing, too_few
from ngw.methods._variates import solve
from ngw.methods.base import unit
from ngw.metrics.retrieval import mean_reciprocal_rank, ranks


def views(n, dx=24, dy=20, noise=0.3, seed=0):
    """Noisy linear views float32 x [n, dx], y [n, dy] of one latent cloud; row i belongs to row i."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 8))
    return tuple(
        (z @ rng.standard_normal((8, d)) + noise * rng.standard_normal((n, d))).astype(np.float32) for d in (dx, dy)
    )


def mrr(method, x, y):
    u, v = method.embed(x, y)
    return float(np.mean([mean_reciprocal_rank(r) for r in ranks(u, v, np.arange(len(u)))]))


def test_variates_of_moments_are_those_of_the_rows():
    x, y = views(50, dx=6, dy=5)
    axes = Moments.of(x, y, np.ones(50, np.float32)).variates(0.3)
    a, b, _ = solve(x, y, [0.3])[0]
    there = np.corrcoef((x @ axes[0])[:, 0], (x @ a)[:, 0])[0, 1], np.corrcoef((y @ axes[1])[:, 0], (y @ b)[:, 0])[0, 1]
    assert np.abs(there) == pytest.approx([1, 1], abs=1e-3)


def test_rows_twice_as_heavy_are_rows_that_stand_twice():
    x, y = views(20, dx=4, dy=3)
    first = Moments.of(x[:8], y[:8], np.ones(8, np.float32))
    heavy = Moments.of(x, y, np.ones(20, np.float32)).plus(first, 1.0)
    twice = Moments.of(np.vstack([x, x[:8]]), np.vstack([y, y[:8]]), np.ones(28, np.float32))
    for one, other in zip(heavy.variates(1.0), twice.variates(1.0), strict=True):
        np.testing.assert_allclose(np.abs(one), np.abs(other), atol=1e-4)


def test_rows_are_compared_by_the_mean_of_the_cosines_along_each_set_of_axes():
    x, y = views(40, dx=6, dy=5)
    sums = Moments.of(x, y, np.ones(40, np.float32))
    few = Moments.of(x[:4], y[:4], np.ones(4, np.float32)).variates(1.0)  # three axes beside five
    axes = sums.variates(0.3)
    u, v = Space.of([(0.3, axes), (0.7, few)]).embed(x, y)
    cosines = [unit(x @ a) @ unit(y @ b).T for a, b in (axes, few)]
    np.testing.assert_allclose(u @ v.T, 0.3 * cosines[0] + 0.7 * cosines[1], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1, atol=1e-5)


def test_a_part_counts_as_far_as_held_out_pairs_speak_for_it():
    stream = np.random.default_rng(0)
    good, bad = np.full(50, 0.8), 0.4 + 0.1 * stream.standard_normal(50)
    found = support({(True, 1.0): good, (True, 5.0): good, (False, 1.0): bad})
    assert found[True, 1.0] == found[True, 5.0] == 1
    assert found[False, 1.0] < 1e-5
    noisy = support({(True, 1.0): good, (False, 1.0): good - 0.1 + stream.standard_normal(50)})
    assert 0.3 < noisy[False, 1.0] < 1.7


def test_rows_without_hubs_have_unit_length_and_the_inner_product_of_csls():
    stream = np.random.default_rng(0)
    u, v, known_u, known_v = (unit(stream.standard_normal((n, 5))).astype(np.float32) for n in (7, 6, 30, 40))
    left, right = without_hubs(u, v, known_u, known_v)
    np.testing.assert_allclose(np.linalg.norm(left, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(right, axis=1), 1, atol=1e-6)
    r = np.sort(u @ known_v.T, axis=1)[:, -NEAREST:].mean(1)
    s = np.sort(v @ known_u.T, axis=1)[:, -NEAREST:].mean(1)
    np.testing.assert_allclose(left @ right.T, (2 * u @ v.T - r[:, None] - s) / 4, atol=1e-6)
    assert nearness(u, known_v[:3]).shape == (7,)  # fewer rows than are asked for


def test_a_standing_is_one_at_the_first_place_and_counts_ties_halfway():
    eye = np.eye(4, dtype=np.float32)
    assert standing(eye, eye, 2).tolist() == [1, 1]
    swapped = eye[[1, 0, 2, 3]]
    assert standing(eye[:2], swapped[:2], 2) == pytest.approx([2**-0.5] * 2)
    assert standing(np.ones((4, 2)), np.ones((4, 2)), 1) == pytest.approx([2.5**-0.5])


def test_held_out_pairs_speak_against_a_choice_by_more_than_two_standard_errors():
    loss = np.array([-1.0, -0.5, -0.5, 0.0])  # mean -.5, deviation .35, standard error .18
    assert speak_against(loss)
    assert not speak_against(loss + 0.15)
    assert speak_against(np.array([-0.1]))
    assert not speak_against(np.zeros(3))


@pytest.mark.parametrize("kind", ["cca", "ridge", "procrustes", "warp"])
def test_hubs_are_taken_out_where_one_says_so(kind, tmp_path):
    x, y = views(80, noise=1.0)
    plain, without = (methods.build({"kind": kind, "hubness": hubs}).fit(x, y, np.arange(40)) for hubs in (False, True))
    u, (p, q) = plain.embed(x, y)[0], without.embed(x, y)
    assert p.shape[1] == u.shape[1] + 4
    np.testing.assert_array_equal(plain.transform(x), without.transform(x))  # a matter of the comparison alone
    without.save(tmp_path / "model")
    again = methods.load(tmp_path / "model").embed(x, y)
    np.testing.assert_allclose(again[0], p, atol=1e-6)
    np.testing.assert_allclose(again[1], q, atol=1e-6)


def noise(x, y, stream):
    return stream.standard_normal((200, x.shape[1])), stream.standard_normal((200, y.shape[1]))


def foreign(x, y, stream):
    return views(200, seed=5)


def turned(x, y, stream):
    turn = np.linalg.qr(stream.standard_normal((x.shape[1], x.shape[1])))[0]
    return x[60:260] @ turn, y[60:260]


@pytest.mark.parametrize("unpaired", [noise, foreign, turned])
def test_unpaired_rows_that_mislead_do_no_harm(unpaired):
    # Nothing that has a partner, or the pairs' structure, on the other side: NGW is what the pairs alone give.
    x, y = views(460, noise=1.0)
    others = unpaired(x, y, np.random.default_rng(0))
    cloud_x, cloud_y = (np.vstack([z[:60], more]).astype(np.float32) for z, more in zip((x, y), others, strict=True))
    found = {
        kind: mrr(
            methods.build({"kind": kind, "hubness": False}).fit(cloud_x, cloud_y, np.arange(60)), x[260:], y[260:]
        )
        for kind in ("warp", "cca")
    }
    assert found["warp"] > found["cca"] - 0.03


def test_foreign_captions_do_no_harm():
    (x, y), ids = views(460, noise=1.0), np.arange(260)
    a, b = (Features(ids, ids, z[:260], {}) for z in (x, y))
    two = clouds(a, b, 60, 0, 1, "foreign", views(200, seed=5)[1])
    found = {
        kind: mrr(methods.build({"kind": kind}).fit(two.x, two.y, two.pairs), x[260:], y[260:])
        for kind in ("warp", "cca")
    }
    assert found["warp"] > found["cca"] - 0.03


@pytest.mark.parametrize("kind", ["ridge", "procrustes", "warp"])
def test_pairs_of_few_images_are_too_few_to_hold_out(kind):
    # Ten pairs, but of two images with five captions each: without one image there is nothing to learn from.
    x, y = views(40)
    pairs = np.stack([np.repeat([0, 1], 5), np.arange(10)], axis=1)
    assert too_few(pairs)
    assert not too_few(np.stack([np.arange(10)] * 2, axis=1))
    method = methods.build({"kind": kind}).fit(x, y, pairs)
    assert method.hubness_ is True  # nothing speaks against it
    assert np.isfinite(method.embed(x, y)[0]).all()
