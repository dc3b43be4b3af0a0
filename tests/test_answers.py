"""The answer vocabulary, soft targets, their ceiling, priors and the results file, on questions one can count."""

from __future__ import annotations

import json

import pytest

from ngw.data import table
from ngw.errors import InputError
from ngw.metrics.vqa import MODES, accuracies
from ngw.tasks.vqa import answers as task

# split, question type, multiple-choice answer, the ten answers
ASKED = [
    ("train", "what", "dog", ["dog"] * 8 + ["a dog", "cat"]),
    ("train", "what", "a dog", ["cat"] * 3 + ["a dog"] * 7),
    ("train", "what", "cat", ["cat"] * 10),
    ("train", "how many", "two", ["two"] * 10),
    ("train", "how many", "2", ["2"] * 5 + ["two"] * 5),
    ("train", "is it", "yes", ["yes"] * 10),
    ("val", "how many", "3", ["3"] * 6 + ["2"] * 2 + ["1"] * 2),
    ("val", "why", "fun", ["fun"] * 9 + ["no"]),
    ("val", "is it", "cat", ["cat"] * 10),
]


@pytest.fixture
def questions():
    rows = [(10 + n, n, split, "?", kind, "other", best, said) for n, (split, kind, best, said) in enumerate(ASKED)]
    return table("questions", rows)


def part(questions, split):
    """One split's questions."""
    rows = task.rows_of(questions, [split])
    return {name: [values[row] for row in rows] for name, values in questions.items()}


def test_the_vocabulary_counts_normalised_answers_of_the_splits_named(questions):
    known = task.vocabulary(questions, min_count=1)
    assert known.answers == ("2", "dog", "cat", "yes")  # ties in alphabetical order
    assert known.counts == (2, 2, 1, 1)
    assert task.vocabulary(questions, min_count=2).answers == ("2", "dog")
    both = task.vocabulary(questions, ["train", "val"], min_count=2)
    assert both.answers == ("2", "cat", "dog")
    assert both.record() == {"n_answers": 3, "min_count": 2, "splits": ["train", "val"]}


def test_soft_targets_by_hand(questions):
    known = task.vocabulary(questions, min_count=1)
    assert task.soft_targets(part(questions, "train")["answers"], known).toarray().tolist() == [
        [0, 1, 0.3, 0],  # 9 x dog, 1 x cat
        [0, 1, 0.9, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 0],  # ten times "two", which the official scorer doesn't normalise: "2" is wrong
        [1, 0, 0, 0],
        [0, 0, 0, 1],
    ]
    assert task.soft_targets(questions["answers"], known, "always").toarray()[3].tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("mode", MODES)
def test_a_target_is_the_score_of_that_answer(questions, mode):
    known = task.vocabulary(questions, ["train", "val"], min_count=1)
    targets = task.soft_targets(questions["answers"], known, mode).toarray()
    for column, answer in enumerate(known.answers):
        scores = accuracies([answer] * len(ASKED), questions["answers"], mode)
        assert targets[:, column].tolist() == scores.tolist()


def test_the_ceiling_by_hand(questions):
    known = task.vocabulary(questions, min_count=1)  # 2, dog, cat, yes
    assert task.ceiling(task.soft_targets(part(questions, "train")["answers"], known)) == pytest.approx(5 / 6)
    assert task.ceiling(task.soft_targets(part(questions, "val")["answers"], known)) == pytest.approx((0.6 + 0 + 1) / 3)


def test_priors_by_hand(questions):
    train, val = part(questions, "train"), part(questions, "val")
    assert task.prior(train, val) == ["2", "2", "2"]
    assert task.prior_by_type(train, val) == ["2", "2", "yes"]  # nobody asked "why" in train
    assert accuracies(task.prior(questions, val), val["answers"]).tolist() == [0.6, 0, 0]


def test_bad_splits_and_thresholds_are_named(questions):
    with pytest.raises(InputError, match=r"split 'vall' has none\. Did you mean 'val'"):
        task.vocabulary(questions, ["vall"], min_count=9)
    with pytest.raises(InputError, match=r"expected an answer with 9 occurrences in train, found at most 2 \('2'\)"):
        task.vocabulary(questions, min_count=9)
    questions["multiple_choice_answer"][7] = ""
    with pytest.raises(InputError, match=r"question_id 17: expected a multiple_choice_answer.* unlabelled split 'val'"):
        task.vocabulary(questions, ["val"], min_count=9)
    with pytest.raises(InputError, match="row 0: expected annotators' answers, found none"):
        task.soft_targets([[]], task.vocabulary(questions, min_count=1))


def test_results_come_back_in_the_order_asked(tmp_path):
    path = tmp_path / "results.json"
    task.write_results(path, [12, 10, 11], ["yes", "dög", "2"], questions=[10, 11, 12])
    assert json.loads(path.read_text())[0] == {"question_id": 12, "answer": "yes"}
    assert task.read_results(path, [10, 11, 12]) == ["dög", "2", "yes"]


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([1, 2], "question_id 3: expected each of 3 questions answered once, found 1 without an answer"),
        ([1, 2, 3, 2], "question_id 2: .* found 1 answered more than once"),
        ([1, 2, 3, 7], "question_id 7: .* found 1 answered but not asked"),
        ([], "question_id 1, 2, 3: .* found 3 without"),
    ],
)
def test_results_that_the_server_would_refuse(tmp_path, ids, words):
    path = tmp_path / "results.json"
    with pytest.raises(InputError, match=words):
        task.write_results(path, ids, ["x"] * len(ids), questions=[1, 2, 3])
    assert not path.exists()
    path.write_text(json.dumps([{"question_id": i, "answer": "x"} for i in ids]))
    with pytest.raises(InputError, match=rf"results\.json: {words}"):
        task.read_results(path, [1, 2, 3])


def test_results_of_another_form_are_named(tmp_path):
    path = tmp_path / "results.json"
    with pytest.raises(InputError, match="question_id 1: expected a text as answer, found 5"):
        task.write_results(path, [1], [5], questions=[1])
    with pytest.raises(InputError, match="found 2 ids and 1 answers"):
        task.write_results(path, [1, 2], ["x"], questions=[1, 2])
    for content, words in (({}, "list of answers"), ([{"question": 1}], "entry 0: .*'question_id'")):
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=words):
            task.read_results(path, [1])


def test_many_missing_ids_are_counted(tmp_path):
    with pytest.raises(InputError, match=r"question_id 0, 1, 2, 3, 4, \.\.\.: .* found 9 without"):
        task.write_results(tmp_path / "results.json", [9], ["x"], questions=range(10))
