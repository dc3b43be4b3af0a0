"""The shuffled control: every known pair is wrong, by the run's seed, and the same in every process."""

from __future__ import annotations

import numpy as np
import pytest

from ngw import methods


def whose(seed, n=12, captions=1):
    """The row of x to which the plan moves each row of y; its own is row // captions."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, 5)), rng.standard_normal((n * captions, 4))
    pairs = np.stack([np.arange(n).repeat(captions), np.arange(n * captions)], axis=1)
    control = methods.build({"kind": "shuffled", "whiten": None, "rounds": 1})
    moved = control.solve(x, y, rng.permutation(pairs), seed).to_x
    standard = (x - x.mean(0)) / np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean())
    distance = np.linalg.norm(moved[:, None] - standard[None], axis=2)
    assert distance.min(1).max() < 1e-5
    return distance.argmin(1)


def test_two_seeds_give_two_permutations_and_one_seed_one():
    first, again, other = whose(0), whose(0), whose(1)
    assert (first == again).all()
    assert (first != other).any()
    assert sorted(first) == sorted(other) == list(range(12))
    # Nothing of the process is in it: this was found in another one.
    assert first.tolist() == [2, 11, 8, 10, 9, 6, 3, 4, 1, 5, 0, 7]


@pytest.mark.parametrize("n", [4, 5, 13, 40])
@pytest.mark.parametrize("captions", [1, 3])
def test_no_pair_keeps_its_own_partner_nor_another_caption_of_its_image(n, captions):
    for seed in range(3):
        found = whose(seed, n, captions)
        assert (found != np.arange(n * captions) // captions).all()
        assert (np.bincount(found) == captions).all()


def test_the_plan_and_the_maps_see_the_same_wrong_pairs():
    rng = np.random.default_rng(1)
    x, y, pairs = rng.standard_normal((40, 5)), rng.standard_normal((40, 4)), np.arange(20)
    whole, control = (methods.build({"kind": "shuffled"}) for _ in range(2))
    staged = control.fit_maps(x, y, pairs, control.solve(x, y, pairs, 3), 3)
    np.testing.assert_array_equal(staged.transform(x), whole.fit(x, y, pairs, 3).transform(x))
    wrong = methods.build({"kind": "warp", "noise": 1.0}).fit(x, y, pairs, 3)
    np.testing.assert_array_equal(staged.transform(x), wrong.transform(x))
