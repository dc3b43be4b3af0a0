"""How hyperparameters are chosen on held-out pairs: folds, ties, withdrawn pairs, the walk downhill."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ngw.errors import InputError
from ngw.maps.linear import _valley
from ngw.methods import build
from ngw.methods._selection import choose, folds, matching, withdraw
from ngw.seeds import rng


def separate(k):
    """k pairs without a row in common."""
    return np.stack([np.arange(k), np.arange(k)[::-1]], axis=1)


@given(k=st.integers(2, 600), seed=st.integers(0, 3))
def test_folds_hold_out_each_pair_once_and_never_keep_it(k, seed):
    splits = folds(separate(k), seed)
    for kept, held in splits:
        assert sorted([*kept, *held]) == list(range(k))
        assert len(kept)
        assert len(held)
    if k < 500:
        assert sorted(np.concatenate([held for _, held in splits])) == list(range(k))
    else:
        assert len(splits) == 1


@given(images=st.integers(2, 40), captions=st.integers(1, 6), share=st.floats(0.1, 1), seed=st.integers(0, 3))
def test_no_held_out_image_is_among_the_kept(images, captions, share, seed):
    draw = np.random.default_rng(seed)
    pairs = np.stack([np.arange(images).repeat(captions), draw.permutation(images * captions)], axis=1)
    pairs = draw.permutation(pairs)[: max(2, round(share * len(pairs)))]
    for known in (pairs, pairs[:, ::-1]):
        if len(np.unique(pairs[:, 0])) == 1:
            with pytest.raises(InputError, match=r"pairs: expected two or more that share no row, .* shared rows link"):
                folds(known, seed)
            continue
        splits = folds(known, seed)
        for kept, held in splits:
            assert sorted([*kept, *held]) == list(range(len(known)))
            for side in known.T:
                assert not set(side[kept]) & set(side[held])
        assert len(splits) == min(5, len(np.unique(pairs[:, 0])))


def test_pairs_that_hang_together_by_either_side_are_in_one_fold():
    pairs = np.array([[0, 0], [1, 5], [0, 1], [2, 1], [3, 3], [4, 4]])  # 0-0, 0-1 and 2-1 are a chain
    assert {tuple(sorted(held)) for _, held in folds(pairs, 0)} == {(0, 2, 3), (1,), (4,), (5,)}


def test_folds_of_pairs_without_a_row_in_common_are_those_of_the_tables():
    order = rng(2, "selection", "folds").permutation(23)
    for (_, held), part in zip(folds(separate(23), 2), np.array_split(order, 5), strict=True):
        assert held.tolist() == part.tolist()


def test_what_knows_images_by_heart_is_not_chosen():
    pairs = np.stack([np.arange(6).repeat(5), np.arange(30)], axis=1)  # five captions an image

    def scores(kept, held):
        return [np.isin(pairs[held, 0], pairs[kept, 0]).mean(), 0.5]

    assert choose(["by heart", "rule"], scores, pairs, 0) == "rule"


CHOOSERS = [
    "cca", "contrastive", "distillation", "fused", "keypoints", "relative", "ridge", "semi-cca", "sotalign",
    "structure", "warp", "wasserstein-procrustes",
]  # fmt: skip


@pytest.mark.parametrize("kind", CHOOSERS)
def test_every_method_that_chooses_takes_several_captions_an_image(kind):
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((20, 6)), draw.standard_normal((60, 5))
    pairs = np.stack([np.arange(20).repeat(3), np.arange(60)], axis=1)
    model = build({"kind": kind}).fit(x, y, pairs[:45])
    assert np.isfinite(model.transform(x)).all()
    few = np.array([[0, 0], [0, 1], [0, 2], [0, 3], [1, 4], [0, 5], [0, 6]])  # a fold of one pair, and the rest
    assert np.isfinite(build({"kind": kind}).fit(x, y, few).transform(x)).all()


def test_the_candidate_with_the_highest_mean_score_is_chosen():
    scores = {"b": [1, 1, 1, 1, 1], "c": [2, 2, 2, 2, 1.5], "a": [0, 0, 9, 0, 0]}
    by_fold = iter(zip(*scores.values(), strict=True))
    assert choose(list(scores), lambda kept, held: next(by_fold), separate(10), 0) == "c"
    by_fold = iter(zip(*scores.values(), strict=True))
    assert choose(list(scores), lambda kept, held: next(by_fold), separate(10), 0, trials=3) == "a"  # means 1, 2, 3


def test_of_candidates_that_tie_the_first_is_chosen_and_an_only_one_without_a_look():
    assert choose(["safe", "other"], lambda kept, held: (1, 1), separate(10), 0) == "safe"
    assert choose(["only"], lambda kept, held: 1 / 0, separate(10), 0) == "only"


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
