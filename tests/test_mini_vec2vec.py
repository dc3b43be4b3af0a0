"""mini-vec2vec: a rotation found without a pair, its quadratic assignment and its neighbours' means by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from rotated_clouds import found

from ngw.methods._matched import _exchanged, assignment
from ngw.methods.mini_vec2vec import MiniVec2Vec, nearest_mean


def clustered(n=600, d=10, clusters=20, noise=0.05, seed=0):
    """A cloud of clusters [n, d], its rotated and noisy copy in another order, where each row went."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((clusters, d))[random.integers(0, clusters, n)] + 0.3 * random.standard_normal((n, d))
    order = random.permutation(n)
    turned = x @ np.linalg.qr(random.standard_normal((d, d)))[0]
    return x, turned[order] + noise * random.standard_normal((n, d)), np.argsort(order)


def test_a_rotation_of_a_clustered_cloud_is_found_without_a_pair():
    x, y, partner = clustered()
    options = {"runs": 20, "neighbours": 20, "clusters": 12, "centres": 100}
    method = MiniVec2Vec(**options).fit(x, y)
    assert found(method, x, y, partner) > 0.95
    np.testing.assert_allclose(method.rotation_.T @ method.rotation_, np.eye(10), atol=1e-4)
    assert ((method.transform(x) - y[partner]) ** 2).mean() < 0.05 * y.var()
    start = MiniVec2Vec(**options, rounds=0).fit(x, y)
    assert found(start, x, y, partner) < found(method, x, y, partner)


def test_clouds_that_share_nothing_stay_at_chance():
    x, _, partner = clustered(300)
    y = np.random.default_rng(1).standard_normal((300, 7))
    assert found(MiniVec2Vec(runs=5, rounds=10, centres=50).fit(x, y), x, y, partner) < 0.05


@pytest.mark.parametrize("size", [2, 6])
def test_no_exchange_of_two_is_left_that_gains(size):
    random = np.random.default_rng(2)
    a, b = (z @ z.T for z in random.standard_normal((2, size, 4)))
    order = _exchanged(a, b, random.permutation(size))

    def value(order):
        return (a * b[np.ix_(order, order)]).sum()

    for i, j in itertools.combinations(range(size), 2):
        other = order.copy()
        other[[i, j]] = other[[j, i]]
        assert value(other) <= value(order) + 1e-9


def test_the_best_assignment_is_that_of_all_permutations_and_takes_sets_of_two_sizes():
    random = np.random.default_rng(3)
    z = random.standard_normal((6, 4))
    order = random.permutation(6)
    turned = z[order] @ np.linalg.qr(random.standard_normal((4, 4)))[0]
    rows, columns = assignment(z @ z.T, turned @ turned.T, 30, random)
    assert (order[columns] == rows).all()
    rows, columns = assignment(z @ z.T, turned[:4] @ turned[:4].T, 30, random)
    assert len(rows) == len(set(rows)) == len(set(columns)) == 4


def test_the_mean_of_the_nearest_by_hand():
    v = np.array([[1.0, 0.0], [0.6, 0.8], [-0.6, -0.8]])
    u = np.array([[1.0, 0.0], [0.0, 1.0]])
    values = np.array([[2.0], [4.0], [9.0]])
    np.testing.assert_allclose(nearest_mean(u, v, values, 2), [[3.0], [3.0]])
    np.testing.assert_allclose(nearest_mean(u, v, values, 1), [[2.0], [4.0]])
    np.testing.assert_allclose(nearest_mean(u, v, values, 50), [[5.0], [5.0]])
