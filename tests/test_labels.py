"""Labels: targets are the scorer's accuracies, shares nest, and what is held out is held out by image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from ngw.data import table
from ngw.errors import InputError
from ngw.metrics.vqa import accuracies
from ngw.tasks.vqa.labels import Labels, held_out


def questions(n=40, split="train", first=0, said=("dog", "cat", "two")):
    """n questions of n // 2 images, answers in turn, of which two annotators disagree."""
    rows = []
    for i in range(n):
        answer = said[i % len(said)]
        answers = [answer] * 8 + ["bird", "a " + answer]
        rows.append((1000 + first + i, (first + i) // 2, split, "What?", "what", "other", answer, answers))
    return rows


@pytest.fixture
def labels():
    rows = questions() + questions(10, "val", 100) + [(5000, 900, "test", "Who?", "", "", "", [])]
    return Labels.of(table("questions", rows), min_count=9)


def test_targets_are_what_the_scorer_would_give(labels):
    assert labels.vocabulary.answers == ("dog", "2", "cat")
    rows = questions() + questions(10, "val", 100)
    for column, answer in enumerate(labels.vocabulary.answers):
        expected = accuracies([answer] * len(rows), [row[-1] for row in rows], "always")
        np.testing.assert_allclose(labels.targets[: len(rows), [column]].toarray()[:, 0], expected, rtol=1e-6)
    assert labels.targets[[len(rows)]].nnz == 0  # unlabelled
    assert labels.record("val")["ceiling"] == pytest.approx(1.0)
    assert labels.record("test") == {"n_answers": 3, "min_count": 9, "splits": ["train"], "ceiling": None}


def test_the_file_reads_back(labels, tmp_path):
    labels.save(tmp_path / "labels")
    back = Labels.read(tmp_path / "labels")
    for name in ("question_ids", "image_ids", "split"):
        assert np.array_equal(getattr(back, name), getattr(labels, name))
    assert (back.targets != labels.targets).nnz == 0
    assert back.vocabulary == labels.vocabulary


def test_shares_nest_and_depend_on_the_seed(labels):
    shares = [labels.labelled(share, 0) for share in ("5", "10", "50", "all")]
    assert [len(share) for share in shares] == [2, 4, 20, 40]
    for small, large in pairwise(shares):
        assert set(small) < set(large)
    assert set(labels.labelled("10", 1)) != set(shares[1])
    assert set(shares[-1]) == set(labels.rows("train"))


def test_all_questions_of_a_held_out_image_are_held_out():
    images = np.repeat(np.arange(20), 3)
    held = held_out(images, 0.1, 0)
    assert held.sum() == 6
    assert len(np.unique(images[held])) == 2
    assert np.array_equal(held, held_out(images, 0.1, 0))
    assert not np.array_equal(held, held_out(images, 0.1, 1))
    assert held_out(np.array([1, 2]), 0.1, 0).sum() == 1


def test_bad_input_is_told(labels):
    with pytest.raises(InputError, match="one of train, val, test, found 'dev'"):
        labels.rows("dev")
    with pytest.raises(InputError, match="2 images or more, since 1 are held out, found 1"):
        held_out(np.array([7, 7, 7]), 0.1, 0)
    wrong = [(*row[:-1], ["horse"] * 10) for row in questions()]
    with pytest.raises(InputError, match="found 3 that cover no question of train"):
        Labels.of(table("questions", wrong), min_count=9)
    with pytest.raises(InputError, match="expected an answer with 99 occurrences"):
        Labels.of(table("questions", questions()), min_count=99)
