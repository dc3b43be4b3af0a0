"""Retrieval metrics: matrices one can read, ties, signs, five captions, and a brute-force second implementation."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ngw.metrics import retrieval
from ngw.metrics.retrieval import mean_reciprocal_rank, median_rank, ranks, recall_at, summary


def scored(matrix):
    """Features whose scores are exactly `matrix` [n_images, n_captions]: u = matrix, v = identity."""
    matrix = np.array(matrix, np.float32)
    return matrix, np.eye(matrix.shape[1], dtype=np.float32)


def brute_force(u, v, owner):
    """The definition, one query at a time, in Python integers (exact for integer features)."""
    scores = u.astype(np.int64) @ v.astype(np.int64).T
    i2t, t2i = [], []
    for i in range(len(u)):
        best = max(scores[i, c] for c in range(len(v)) if owner[c] == i)
        rivals = [scores[i, c] for c in range(len(v)) if owner[c] != i]
        i2t.append(1 + sum(s > best for s in rivals) + sum(s == best for s in rivals) / 2)
    for c in range(len(v)):
        own = scores[owner[c], c]
        rivals = [scores[i, c] for i in range(len(u)) if i != owner[c]]
        t2i.append(1 + sum(s > own for s in rivals) + sum(s == own for s in rivals) / 2)
    return np.array(i2t), np.array(t2i)


def test_three_by_three_by_hand():
    u, v = scored([[9, 5, 1], [8, 7, 2], [3, 6, 4]])
    i2t, t2i = ranks(u, v, np.arange(3))
    assert i2t.tolist() == [1, 2, 2]  # rows: 9 is first; 8 beats 7; 6 beats 4
    assert t2i.tolist() == [1, 1, 1]  # columns: 9, 7 and 4 are the largest


def test_negative_scores_rank_like_any_other():
    u, v = scored([[-1, -5, -9], [-2, -3, -8], [-7, -6, -4]])
    i2t, t2i = ranks(u, v, np.arange(3))
    assert i2t.tolist() == [1, 2, 1]
    assert t2i.tolist() == [1, 1, 1]


def test_five_captions_an_image_the_best_counts_and_its_sisters_are_no_rivals():
    u, v = scored([[4, 9, 8, 7, 6, 5, 3, 2, 1, 0], [9, 8, 7, 6, 5, 1, 2, 3, 4, 0]])
    i2t, t2i = ranks(u, v, np.repeat([0, 1], 5))
    # Image 0: 9 is its own. Image 1: best own 4, beaten by all five of image 0's captions.
    assert i2t.tolist() == [1, 6]
    # Captions 0 to 4 (columns): 4<9, 9>8, 8>7, 7>6, 6>5. Captions 5 to 9: 1<5, 2<3, 3>2, 4>1, 0=0.
    assert t2i.tolist() == [2, 1, 1, 1, 1, 2, 2, 1, 1, 1.5]


def test_captions_need_not_stand_in_the_order_of_their_images():
    u, v = scored([[4, 9, 8, 7], [1, 2, 3, 5], [6, 0, 9, 8]])
    i2t, t2i = ranks(u, v, np.array([2, 0, 1, 0]))
    assert i2t.tolist() == [1, 2, 3]  # own: 9 (and 7); 3, under 5; 6, under 9 and 8
    assert t2i.tolist() == [1, 1, 3, 2]


def test_ties_take_the_middle_place():
    u, v = scored([[5, 5, 5, 7], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    i2t, t2i = ranks(u, v, np.arange(4))
    assert i2t.tolist() == [3, 1, 1, 1]  # one above, two equal: places 2, 3, 4, the middle is 3
    assert t2i.tolist() == [1, 2, 2, 2]
    assert recall_at(i2t, 1) == 0.75


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e-30])
@pytest.mark.parametrize("d", [1, 7, 384])
def test_constant_features_put_every_query_in_the_middle(value, d):
    # 0.1 is no float32 number and 384 of them round upward together: the product's last bits differ between tiles.
    n, captions = 41, 5
    i2t, t2i = ranks(np.full((n, d), value), np.full((n * captions, d), 0.3), np.repeat(np.arange(n), captions))
    assert set(i2t) == {1 + (n - 1) * captions / 2}
    assert set(t2i) == {1 + (n - 1) / 2}
    found = summary(i2t, t2i)
    assert {found[f"{way}_recall_{k}"] for way in ("i2t", "t2i") for k in (1, 5, 10)} == {0}  # chance is k / 41
    assert found["t2i_median_rank"] == 21
    assert found["t2i_foscttm"] == 0.5
    assert found["t2i_mrr"] == pytest.approx(2 / 42)  # guessing has (1 + 1/2 + ... + 1/41) / 41, more than twice that
    assert found["i2t_foscttm"] == pytest.approx(100 / 204)  # 200 of 204 others tie: an image's own four are further


def test_guessing_finds_one_of_five_captions_after_a_sixth_of_them():
    u, v = np.random.default_rng(0).standard_normal((2, 200, 6))
    owner = np.repeat(np.arange(40), 5)
    found = summary(*ranks(u[:40], v, owner))
    assert found["i2t_foscttm"] == pytest.approx(1 / 6, abs=0.04)
    assert found["t2i_foscttm"] == pytest.approx(1 / 2, abs=0.04)


def test_two_that_tie_for_the_first_place_are_not_found_at_one():
    u, v = scored([[7, 7, 1], [5, 9, 2], [0, 3, 4]])
    i2t, t2i = ranks(u, v, np.arange(3))
    assert i2t.tolist() == [1.5, 1, 1]
    found = summary(i2t, t2i)
    assert found["i2t_recall_1"] == pytest.approx(2 / 3)
    assert found["i2t_foscttm"] == pytest.approx(0.5 / 3 / 2)  # half of one of two rivals, for one query of three


def test_a_median_rank_may_end_in_quarters():
    assert median_rank(np.array([1, 1.5])) == 1.25
    assert median_rank(np.array([1, 2, 1, 2])) == 1.5
    assert median_rank(np.array([1, 1, 2, 2, 3])) == 2


@pytest.mark.parametrize("side", [1, 3, 16, 1024])
def test_duplicates_tie_exactly_whatever_the_blocks(monkeypatch, side):
    rng = np.random.default_rng(0)
    u = rng.standard_normal((37, 99), np.float32) + 3
    v = u + 2 * rng.standard_normal((37, 99), np.float32)
    once = ranks(u, v, np.arange(37))
    monkeypatch.setattr(retrieval, "_MAX_SIDE", side)
    order = rng.permutation(111)
    copies = np.concatenate([v, v, v])[order]  # each caption three times, owned by the same image
    i2t, t2i = ranks(u, copies, np.tile(np.arange(37), 3)[order])
    np.testing.assert_array_equal(i2t, 3 * (once[0] - 1) + 1)  # each rival is there three times
    np.testing.assert_array_equal(t2i, np.tile(once[1], 3)[order])
    i2t, t2i = ranks(np.concatenate([u, u]), np.concatenate([v, v]), np.arange(74))
    np.testing.assert_array_equal(i2t, np.tile(2 * (once[0] - 1) + 1.5, 2))  # a rival twice, and one's own twin
    np.testing.assert_array_equal(t2i, np.tile(2 * (once[1] - 1) + 1.5, 2))


def test_nearly_equal_scores_are_told_apart_beyond_float32():
    # 1000 + 0.001 differs from 1000 as a feature, but the float32 product 1e6 + 1 has 24 bits for terms of 2.4e7.
    u = np.full((2, 24), 1000, np.float32)
    v = u.copy()
    v[1, 0] = np.nextafter(np.float32(1000), np.float32(2000))
    i2t, t2i = ranks(u, v, np.arange(2))
    assert i2t.tolist() == [2, 1]
    assert t2i.tolist() == [1.5, 1.5]


def test_scores_that_vanish_in_float32_are_still_ranked():
    u, v = scored([[9, 5, 1], [8, 7, 2], [3, 6, 4]])
    i2t, t2i = ranks(u * np.float32(1e-25), v * np.float32(1e-25), np.arange(3))
    assert i2t.tolist() == [1, 2, 2]
    assert t2i.tolist() == [1, 1, 1]


def test_products_below_the_smallest_float32_are_not_trusted():
    # With q the smallest float32, 0.6 q rounds up to q and 0.4 q + 0.4 q down to 0, though it is the larger score.
    q, x = 2.0**-149, 2.0**-80
    u = np.array([[x, x], [x, 0]])
    v = np.array([[0.6 * q / x, 0], [0.4 * q / x, 0.4 * q / x]])
    i2t, _ = ranks(u, v, np.arange(2))
    assert i2t.tolist() == [2, 2]


small = st.integers(-3, 3)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_agrees_with_brute_force(data):
    n, d = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    more = data.draw(st.lists(st.integers(0, n - 1), max_size=8))
    owner = np.array(data.draw(st.permutations([*range(n), *more])))
    u = np.array(data.draw(st.lists(small, min_size=n * d, max_size=n * d))).reshape(n, d)
    v = np.array(data.draw(st.lists(small, min_size=len(owner) * d, max_size=len(owner) * d))).reshape(-1, d)
    scale = 2.0 ** data.draw(st.integers(-40, 40))  # exact, so the ranks must not move
    memory_mb = data.draw(st.sampled_from([1e-4, 100]))  # tiles of one score, one tile
    got = ranks((u * scale).astype(np.float32), v.astype(np.float32), owner, memory_mb)
    for found, expected in zip(got, brute_force(u, v, owner), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_agrees_with_argsort_where_nothing_ties():
    rng = np.random.default_rng(1)
    n, captions, d = 300, 5, 64
    owner = np.repeat(np.arange(n), captions)
    u = rng.standard_normal((n, d))
    v = u[owner] + 3 * rng.standard_normal((len(owner), d))
    u, v = u.astype(np.float32), v.astype(np.float32)
    scores = u.astype(np.float64) @ v.T.astype(np.float64)
    place_t = np.argsort(np.argsort(-scores, axis=1), axis=1) + 1
    # Own captions above the best own one don't exist, so the best place is the rank itself.
    i2t = np.array([place_t[i, owner == i].min() for i in range(n)])
    t2i = (np.argsort(np.argsort(-scores, axis=0), axis=0) + 1)[owner, np.arange(len(owner))]
    got = ranks(u, v, owner, memory_mb=1)
    np.testing.assert_array_equal(got[0], i2t)
    np.testing.assert_array_equal(got[1], t2i)


def test_memory_stays_in_its_budget():
    rng = np.random.default_rng(2)
    n, captions, d = 1500, 4, 16
    u = rng.standard_normal((n, d), np.float32)
    easy, tied = rng.standard_normal((n * captions, d), np.float32), np.ones((n * captions, d), np.float32)
    for v in (easy, tied):
        tracemalloc.start()
        ranks(u, v, np.repeat(np.arange(n), captions), memory_mb=10)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        assert peak < 12  # the full matrix would be 34 MB


def test_summary_by_hand():
    i2t, t2i = np.array([1, 2, 6, 11]), np.array([1, 1, 4, 20, 1.5])
    found = summary(i2t, t2i)
    assert found["i2t_recall_1"] == 0.25
    assert found["i2t_recall_5"] == 0.5
    assert found["i2t_recall_10"] == 0.75
    assert found["i2t_mrr"] == pytest.approx((1 + 1 / 2 + 1 / 6 + 1 / 11) / 4)
    assert found["i2t_median_rank"] == 4
    assert found["t2i_recall_1"] == 0.4  # rank 1.5 is a tie for the first place: not found at 1
    assert found["t2i_median_rank"] == 1.5
    assert found["mean_recall_1"] == pytest.approx(0.325)
    assert found["i2t_foscttm"] == pytest.approx((0 + 1 + 5 + 10) / 4 / 4)  # of five captions, four are others
    assert found["t2i_foscttm"] == pytest.approx((0 + 0 + 3 + 19 + 0.5) / 5 / 3)
    assert len(found) == 13
    assert mean_reciprocal_rank(np.array([1, 4])) == 0.625
    assert median_rank(np.array([3, 1, 2])) == 2


def broken(side, row, value):
    u, v = np.ones((4, 3), np.float32), np.ones((6, 3), np.float32)
    (u if side == "image" else v)[row, 1] = value
    return u, v, np.array([0, 1, 2, 3, 0, 1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("side", "row"), [("image", 3), ("caption", 5)])
def test_non_finite_features_are_named(side, row, value):
    with pytest.raises(ValueError, match=rf"{side} features: row {row} holds {value}"):
        ranks(*broken(side, row, value))


@pytest.mark.parametrize(
    ("u", "v", "owner", "words"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), [0, 1], "images are 3 wide and captions 4"),
        (np.ones((2, 3)), np.ones((2, 3)), [0, 1, 1], "expected 2 integers"),
        (np.ones((2, 3)), np.ones((2, 3)), [0.0, 1.0], "expected 2 integers"),
        (np.ones((2, 3)), np.ones((2, 3)), [0, 2], "found 0 to 2"),
        (np.ones((3, 3)), np.ones((2, 3)), [0, 2], "image 1 owns no caption"),
        (np.ones(3), np.ones((2, 3)), [0, 0], "expected a matrix"),
        (np.ones((0, 3)), np.ones((2, 3)), [0, 0], "n, d >= 1"),
        (np.full((1, 1), 1e30), np.full((1, 1), 1e30), [0], "overflow float32"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(u, v, owner, words):
    with pytest.raises(ValueError, match=words):
        ranks(u, v, np.array(owner))


def test_folds_are_ranked_each_among_its_own_and_come_out_higher():
    draw = np.random.default_rng(0)
    owner = draw.permutation(np.repeat(np.arange(23), 2))  # three folds of seven, two images left over
    u = draw.standard_normal((23, 4)).astype(np.float32)
    v = (u[owner] + draw.standard_normal((46, 4))).astype(np.float32)
    found, expected = retrieval.folded(u, v, owner, folds=3, fold=7), []
    for first in (0, 7, 14):
        rows = np.flatnonzero((owner >= first) & (owner < first + 7))
        scores = u[first : first + 7] @ v[rows].T
        expected.append(np.mean([owner[rows[best]] == first + k for k, best in enumerate(scores.argmax(1))]))
    assert found["i2t_recall_1_1k"] == pytest.approx(np.mean(expected))
    assert list(found) == list(retrieval.FOLDED)
    whole = retrieval.summary(*retrieval.ranks(u, v, owner))
    assert all(found[f"{name}_1k"] > whole[name] for name in ("i2t_recall_5", "t2i_recall_1", "t2i_recall_5"))
    assert retrieval.folded(u, v, owner, folds=4, fold=7) == {}
