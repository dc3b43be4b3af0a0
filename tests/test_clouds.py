"""The training clouds: no order that gives the pairs away, nested budgets, and sizes that must fit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ngw.errors import InputError
from ngw.features import Features
from ngw.features.clouds import clouds, groups, groups_of_rows, partners, repeated


def two(n=40, captions=3, order=None):
    """n images and their captions whose features tell which row they are: x = image id, y = (image id, caption id)."""
    owner = np.arange(n).repeat(captions)
    order = np.arange(len(owner)) if order is None else order
    ids, owner = 1000 + np.arange(len(owner))[order], owner[order]
    x = np.arange(n, dtype=np.float32)[:, None]
    y = np.stack([owner, ids], axis=1).astype(np.float32)
    return Features(np.arange(n), np.arange(n), x, {}), Features(ids, owner, y, {})


@given(n=st.integers(2, 30), captions=st.integers(1, 4), drawn=st.integers(1, 5), seed=st.integers(0, 9))
def test_every_pair_is_a_true_one(n, captions, drawn, seed):
    order = np.random.default_rng(seed).permutation(n * captions)
    c = clouds(*two(n, captions, order), "all", seed, drawn)
    m = n * min(drawn, captions)
    assert c.x.shape == (n, 1)
    assert c.y.shape == (m, 2)
    assert sorted(c.x[:, 0]) == list(range(n))
    assert np.array_equal(c.x[c.truth[:, 0], 0], c.y[c.truth[:, 1], 0])
    assert len(np.unique(c.truth[:, 1])) == m  # each caption drawn has its image
    assert np.array_equal(np.bincount(c.y[:, 0].astype(int)), [min(drawn, captions)] * n)
    assert len(np.unique(c.y[:, 1])) == m  # no caption twice
    assert sorted(map(tuple, c.pairs)) == sorted(map(tuple, c.truth))
    assert np.array_equal(c.ids, c.y[c.pairs[:, 1], 1])


def test_an_image_with_few_captions_gives_all_it_has():
    owner = np.array([0, 1, 1, 1, 1, 2, 2, 2])
    text = Features(np.arange(8), owner, np.stack([owner, np.arange(8)], axis=1).astype(np.float32), {})
    vision, _ = two(n=3)
    for drawn, counts in ((1, [1, 1, 1]), (2, [1, 2, 2]), (3, [1, 3, 3]), (5, [1, 4, 3])):
        assert np.bincount(clouds(vision, text, 0, 0, drawn).y[:, 0].astype(int)).tolist() == counts


def test_budgets_of_one_seed_are_nested():
    pairs = {k: {tuple(p) for p in clouds(*two(), k, 0).pairs} for k in (0, 3, 10, 30, "all")}
    assert [len(p) for p in pairs.values()] == [0, 3, 10, 30, 40]
    assert pairs[0] < pairs[3] < pairs[10] < pairs[30] < pairs["all"]


def test_a_budget_changes_nothing_but_the_pairs():
    few, many = clouds(*two(), 3, 0), clouds(*two(), 30, 0)
    assert np.array_equal(few.x, many.x)
    assert np.array_equal(few.y, many.y)
    assert np.array_equal(few.truth, many.truth)


def apart(k, seed=0, n=40, captions=3, drawn=1):
    return clouds(*two(n, captions), k, seed, drawn, "disjoint")


@given(
    n=st.integers(2, 20), captions=st.integers(1, 4), drawn=st.integers(1, 5), seed=st.integers(0, 9), data=st.data()
)
def test_apart_no_unpaired_row_has_its_image_or_caption_on_the_other_side(n, captions, drawn, seed, data):
    k = data.draw(st.integers(0, n * min(drawn, captions)))
    c, shared = apart(k, seed, n, captions, drawn), clouds(*two(n, captions), k, seed, drawn)
    free_x = np.delete(c.x[:, 0], c.pairs[:, 0])
    free_y = np.delete(c.y, c.pairs[:, 1], axis=0)
    assert not set(free_x) & set(c.y[:, 0])
    assert not set(free_y[:, 0]) & set(c.x[:, 0])
    for side, other, rows in ((c.x, shared.x, 0), (c.y, shared.y, 1)):  # the known pairs are the same
        assert np.array_equal(side[c.pairs[:, rows]], other[shared.pairs[:, rows]])
    assert np.array_equal(c.truth, c.pairs)
    assert np.array_equal(c.ids, c.y[c.pairs[:, 1], 1])
    unknown = n - len(set(shared.x[shared.pairs[:, 0], 0]))
    assert len(free_x) == (unknown + 1) // 2
    assert sorted(free_y[:, 0]) == sorted(np.repeat(np.unique(free_y[:, 0]), min(drawn, captions)))  # whole images
    assert len(np.unique(free_y[:, 0])) == unknown // 2


def test_apart_an_image_keeps_its_side_until_it_is_known():
    free = {k: (set(np.delete(c.x[:, 0], c.pairs[:, 0])), len(c.x)) for k in (0, 3, 10, 30) for c in [apart(k)]}
    assert free[30][0] < free[10][0] < free[3][0] < free[0][0]
    assert [size for _, size in free.values()] == [20, 3 + 19, 10 + 15, 30 + 5]
    assert apart("all").x.tolist() == clouds(*two(), "all", 0).x.tolist()


def test_apart_texts_of_one_image_go_to_one_side():
    text = two()[1]
    text.metadata["modality"] = "text"  # two encoders of one modality: every caption is its own partner
    c = clouds(text, text, 10, 0, 3, "disjoint")
    free_x, free_y = (np.delete(side[:, 0], rows) for side, rows in zip((c.x, c.y), c.pairs.T, strict=True))
    assert not set(free_x) & set(c.y[:, 0])
    assert not set(free_y) & set(c.x[:, 0])
    assert np.array_equal(c.x[c.pairs[:, 0]], c.y[c.pairs[:, 1]])


FOREIGN = np.stack([np.full(60, -1.0), np.arange(60)], axis=1).astype(np.float32)  # rows that no caption equals


@given(k=st.integers(0, 40), seed=st.integers(0, 9), drawn=st.integers(1, 3), rows=st.integers(1, 60))
def test_foreign_captions_stand_in_no_pair_and_no_other_caption_is_unpaired(k, seed, drawn, rows):
    c, shared = clouds(*two(), k, seed, drawn, "foreign", FOREIGN[:rows]), clouds(*two(), k, seed, drawn)
    disjoint = clouds(*two(), k, seed, drawn, "disjoint")
    free = np.delete(c.y, c.pairs[:, 1], axis=0)
    assert (free[:, 0] == -1).all()
    assert len(np.unique(free[:, 1])) == len(free) == min(rows, len(disjoint.y) - k)
    assert np.array_equal(c.x, disjoint.x)
    for side, other, row in ((c.x, shared.x, 0), (c.y, shared.y, 1)):  # the known pairs are the same
        assert np.array_equal(side[c.pairs[:, row]], other[shared.pairs[:, row]])
    assert np.array_equal(c.truth, c.pairs)
    assert np.array_equal(c.ids, c.y[c.pairs[:, 1], 1])


def test_foreign_captions_of_a_larger_budget_are_among_those_of_a_smaller_one():
    free = [set(c.y[c.y[:, 0] == -1, 1]) for k in (0, 10, 30) for c in [clouds(*two(), k, 3, 1, "foreign", FOREIGN)]]
    assert [len(numbers) for numbers in free] == [20, 15, 5]
    assert free[2] < free[1] < free[0]
    assert (
        clouds(*two(), 10, 4, 1, "foreign", FOREIGN).y.tolist()
        != clouds(*two(), 10, 3, 1, "foreign", FOREIGN).y.tolist()
    )
    assert clouds(*two(), "all", 0, 1, "foreign", FOREIGN).y.tolist() == clouds(*two(), "all", 0).y.tolist()


def test_foreign_captions_come_with_their_setting():
    with pytest.raises(InputError, match="expected rows of another data set, since unpaired is foreign, found none"):
        clouds(*two(), 3, 0, 1, "foreign")
    with pytest.raises(InputError, match="expected none of another data set, since unpaired is shared, found 60 rows"):
        clouds(*two(), 3, 0, 1, "shared", FOREIGN)


def test_partners_by_hand():
    pairs = np.array([[0, 1]])
    assert partners(np.array([7, 8]), np.array([9, 7]), pairs) == 0
    assert partners(np.array([7, 8]), np.array([8, 7]), pairs) == 2
    assert partners(np.array([7, 8]), np.array([9, 7, 7]), pairs) == 1  # another caption of the known image


def test_a_setting_that_is_none_or_has_no_rows():
    with pytest.raises(InputError, match="unpaired: expected one of shared, disjoint, foreign, none, found 'apart'"):
        clouds(*two(), 3, 0, 1, "apart")
    with pytest.raises(InputError, match="unpaired: expected shared, disjoint or foreign beside 3 pairs, found none"):
        clouds(*two(), 3, 0, 1, "none")
    assert clouds(*two(), "all", 0, 1, "none").x.tolist() == clouds(*two(), "all", 0).x.tolist()


def test_the_order_of_rows_gives_nothing_away():
    # For independent orders, the number of rows where image i meets its own caption is about Poisson(1).
    same = [int((clouds(*two(), 0, seed).truth == np.arange(40)[:, None]).all(1).sum()) for seed in range(200)]
    assert 0.7 < np.mean(same) < 1.3
    correlation = [np.corrcoef(clouds(*two(), 0, seed).truth.T)[0, 1] for seed in range(200)]
    assert abs(np.mean(correlation)) < 0.04  # a standard error is 0.011


def test_every_caption_of_an_image_is_drawn_as_often():
    drawn = np.concatenate([clouds(*two(), 0, seed).y[:, 1] for seed in range(150)]).astype(int) - 1000
    share = np.bincount(drawn % 3, minlength=3) / len(drawn)
    assert np.abs(share - 1 / 3).max() < 0.03  # a standard error is 0.006


def test_a_seed_gives_the_same_clouds_in_another_process():
    code = (
        "import numpy as np; from ngw.features.clouds import clouds; from ngw.features import Features\n"
        "i = np.arange(9); f = Features(i, i, i[:, None].astype('f4'), {})\n"
        "print(clouds(f, f, 4, 7).pairs.tolist())"
    )
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in range(2)}
    ids = np.arange(9)
    f = Features(ids, ids, ids[:, None].astype(np.float32), {})
    assert runs == {f"{clouds(f, f, 4, 7).pairs.tolist()}\n"}
    assert clouds(f, f, 4, 8).pairs.tolist() != clouds(f, f, 4, 7).pairs.tolist()


def test_images_and_captions_of_different_splits():
    vision, text = two()
    short = Features(vision.ids[:30], vision.image_ids[:30], vision.x[:30], {})
    with pytest.raises(InputError, match="caption 1090: its image is not among the split's items; encode both"):
        clouds(short, text, 0, 0)
    keep = text.image_ids != 7
    fewer = Features(text.ids[keep], text.image_ids[keep], text.x[keep], {})
    with pytest.raises(InputError, match="image 7: expected a caption, found none; drop the image"):
        clouds(vision, fewer, 0, 0)


def test_groups_by_hand():
    pairs = np.array([[4, 0], [1, 3], [4, 2], [0, 2], [2, 1]])  # rows 4 and 0 of x hang together by row 2 of y
    assert groups(pairs).tolist() == [0, 1, 0, 0, 4]
    assert groups_of_rows(pairs, 6, 0).tolist() == [0, 1, 4, -4, 0, -6]
    assert groups_of_rows(pairs, 4, 1).tolist() == [0, 4, 0, 1]
    assert groups(pairs[:2]).tolist() == [0, 1]
    assert groups(pairs[:0]).tolist() == []


def test_repeated_rows_by_hand():
    known = np.array([[1, 2], [3, 4], [3, 4]], np.float32)
    assert repeated(known, np.array([[3, 4], [1, 2], [3, 4], [2, 1]], np.float32)) == 3
    assert repeated(known, np.array([[3, 4 + 1e-6]], np.float32)) == 0
