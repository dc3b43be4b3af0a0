"""How hyperparameters are chosen on held-out pairs: folds, ties, withdrawn pairs, the walk downhill."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ngw.maps.linear import _valley
from ngw.methods._selection import choose, folds, matching, withdraw


@given(k=st.integers(2, 600), seed=st.integers(0, 3))
def test_folds_hold_out_each_pair_once_and_never_keep_it(k, seed):
    splits = folds(k, seed)
    for kept, held in splits:
        assert sorted([*kept, *held]) == list(range(k))
        assert len(kept)
        assert len(held)
    if k < 500:
        assert sorted(np.concatenate([held for _, held in splits])) == list(range(k))
    else:
        assert len(splits) == 1


def test_the_candidate_with_the_highest_mean_score_is_chosen():
    scores = {"b": [1, 1, 1, 1, 1], "c": [2, 2, 2, 2, 1.5], "a": [0, 0, 9, 0, 0]}
    by_fold = iter(zip(*scores.values(), strict=True))
    assert choose(list(scores), lambda kept, held: next(by_fold), 10, 0) == "c"
    by_fold = iter(zip(*scores.values(), strict=True))
    assert choose(list(scores), lambda kept, held: next(by_fold), 10, 0, trials=3) == "a"  # means 1, 2, 3


def test_of_candidates_that_tie_the_first_is_chosen_and_an_only_one_without_a_look():
    assert choose(["safe", "other"], lambda kept, held: (1, 1), 10, 0) == "safe"
    assert choose(["only"], lambda kept, held: 1 / 0, 10, 0) == "only"


def test_withdrawn_pairs_leave_both_clouds():
    x, y = np.arange(5)[:, None], 10 * np.arange(4)[:, None]
    pairs = np.array([[4, 0], [1, 3], [2, 2]])
    left_x, left_y, known = withdraw(x, y, pairs, np.array([2, 0]))  # the pair [1, 3] is held out
    assert left_x.ravel().tolist() == [2, 4, 0, 3]
    assert left_y.ravel().tolist() == [20, 0, 10]
    assert known.tolist() == [[0, 0], [1, 1]]


def test_matching_by_hand():
    # Scores u @ v.T = [[1, 0], [0.8, 0.6]]: row 0 finds its own first, row 1 second; each column finds its own first.
    u, v = np.array([[1, 0], [0.8, 0.6]]), np.eye(2)
    assert matching(u, v) == pytest.approx((1 + 0.5 + 1 + 1) / 4)


@pytest.mark.parametrize("lowest", range(9))
def test_the_valley_is_found_wherever_it_is(lowest):
    assert _valley(lambda k: abs(k - lowest), 9) == lowest


def test_of_two_valleys_the_nearer_is_found_and_a_plain_is_left_at_once():
    looks = []
    assert _valley([9, 3, 2, 4, 5, 4, 3, 0, 1].__getitem__, 9) == 2
    assert _valley(lambda k: looks.append(k) or 1.0, 9) == 3
    assert sorted(looks) == [2, 3, 4]
