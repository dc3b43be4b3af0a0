"""Clusters matched many times over: a rotation without any pair, and NGW that starts from it."""

from __future__ import annotations

import numpy as np
import pytest
from rotated_clouds import found

from ngw.methods.clusters import Clusters
from ngw.methods.warp import Warp

NO_PAIR = {"cost": "clusters", "whiten": 100.0, "sharp_whiten": None, "rounds": 40, "warmth": 10.0, "settled": 0.02}


def views(n=600, d=12, groups=15, noise=0.15, seed=0):
    """A cloud of groups [n, d], a noisy rotation of it in another order, where each row went."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((groups, d))[random.integers(0, groups, n)] + 0.5 * random.standard_normal((n, d))
    order = random.permutation(n)
    turned = x @ np.linalg.qr(random.standard_normal((d, d)))[0] + noise * random.standard_normal((n, d))
    return x, turned[order], np.argsort(order)


def test_ngw_finds_every_partner_without_a_pair_where_the_clusters_alone_find_some():
    x, y, partner = views()
    start = Clusters(clusters=12, whiten=None).fit(x, y)
    warp = Warp(**NO_PAIR).fit(x, y)
    assert 0.02 < found(start, x, y, partner) < found(warp, x, y, partner)
    assert found(warp, x, y, partner) > 0.9
    assert warp.supervision == "none"


def test_draws_agree_where_the_clouds_share_a_shape():
    x, y, _ = views(noise=0.3)
    alone = np.random.default_rng(1).standard_normal((600, 9))
    alike, unlike = (Clusters(clusters=12, draws=20).fit(x, other).agreement_ for other in (y, alone))
    assert 0 < unlike < alike <= 1 + 1e-6


def test_the_rotation_is_one_and_a_seed_repeats_it():
    x, y, _ = views(200)
    first, again, other = (Clusters(clusters=8, draws=5).fit(x, y, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_allclose(first.rotation_.T @ first.rotation_, np.eye(12), atol=1e-4)
    np.testing.assert_array_equal(first.rotation_, again.rotation_)
    assert not np.allclose(first.rotation_, other.rotation_)


@pytest.mark.parametrize("n", [4, 30])
def test_fewer_rows_than_clusters_are_no_obstacle(n):
    x, y, _ = views(n, d=3)
    u, v = Clusters(draws=3).fit(x, y).embed(x, y)
    assert np.isfinite(np.vstack([u, v])).all()
