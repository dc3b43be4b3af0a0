"""VQA accuracy: each of the official scorer's quirks by hand, and its own numbers on real questions."""

from __future__ import annotations

import csv
import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ngw import data
from ngw.metrics import vqa

SUBSET = Path(__file__).parents[2] / "shared" / "data" / "vqa2-subset"
GOLDEN = Path(__file__).parent / "golden" / "vqa.csv"


def score(prediction, answers, mode="official", marks=None):
    """One question's accuracy."""
    return vqa.accuracies([prediction], [answers], mode, None if marks is None else [marks])[0]


def ten(**said):
    """Ten answers, how many of each."""
    return [answer for answer, times in said.items() for _ in range(times)]


@pytest.mark.parametrize(("matches", "accuracy"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0)])
def test_ten_annotators_by_hand(matches, accuracy):
    # 2 matches: leaving one of the two out gives 1/3, each of the other eight 2/3; (2/3 + 16/3) / 10 = .6
    assert score("dog", ten(dog=matches, cat=10 - matches)) == accuracy


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        (" a\tdog\n", "dog"),  # articles, white space
        ("The Dog", "dog"),
        ("none", "0"),
        ("Zero", "0"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("red-white", "red white"),  # a mark inside becomes a space
        ("red - white", "red white"),  # a mark beside a space vanishes, two spaces are one
        ("red- a-b", "red ab"),  # ... and then it vanishes wherever it stands
        ("1,000 red-white", "1000 redwhite"),  # a comma between digits makes every mark vanish
        ("yes,no", "yes no"),
        ("5.", "5"),
        ("3.5", "3.5"),
        ("a.m.", "am"),
        ("v.2", "v.2"),  # a digit follows: the period stays
        ("no?", "no"),
        ("dont", "don't"),
        ("couldntve", "couldntve"),  # two apostrophes forgotten
        ("couldn'tve", "couldn't've"),
        ("somebody'd", "somebodyd"),
        ("somebodyd", "somebodyd"),
        ("lets", "lets"),
        ("shes", "shes"),
        ("Ive", "ive"),  # capitals are gone before contractions are looked up
        ("it's", "it's"),
        ("." * 33 + "x", ".x"),  # re.UNICODE is 32, and is passed as a count
        ("the", ""),
    ],
)
def test_normalisation_by_hand(text, compared):
    assert vqa.normalise(text) == compared


def test_only_what_annotators_disagree_on_is_normalised():
    assert score("none", ten(none=10)) == 1
    assert score("0", ten(none=10)) == 0
    assert score("0", ten(none=9, dog=1)) == 1
    assert score("0", ten(none=10), "always") == 1
    assert score("Yes", ten(yes=10)) == 0
    assert score("Yes", ten(yes=9, no=1)) == 1


def test_white_space_is_cleaned_always_and_before_annotators_are_compared():
    assert score("a\tdog\n", ["a dog", "a dog "] * 5) == 1
    assert score("dog", ["a dog", "a dog "] * 5) == 0  # clean, all ten are equal: the article stays


def test_normalisation_joins_annotators():
    assert score("2", ten(two=2, cats=8)) == 0.6
    assert score("2", ["two", "2", "Two", "two.", *["cats"] * 6]) == 1


def test_annotators_with_one_id_and_answer_are_left_out_together():
    answers, same, own = ten(dog=2, cat=8), [1] * 10, list(range(10))
    # One id: leaving a dog out leaves none, leaving a cat out leaves two dogs: (2 x 0 + 8 x 2/3) / 10.
    assert score("dog", answers, marks=same) == pytest.approx(16 / 30, abs=1e-15)
    assert score("dog", answers, marks=own) == score("dog", answers) == 0.6
    assert score("dog", answers, "always", marks=same) == 0.6
    assert score("dog", ten(dog=10), marks=same) == 0


def test_a_single_annotator_never_scores():
    assert score("dog", ["dog"]) == 0  # who is left out is the only one to match: give a sure answer ten times


def test_groups_and_names():
    scores = np.array([1.0, 0.0, 0.3, 0.6])
    assert vqa.by_group(scores, ["what", "how", "what", "how"]) == {"how": 0.3, "what": 0.65}
    assert vqa.summary(scores, ["yes/no", "number", "other", "other"]) == {
        "accuracy": 0.475,
        "accuracy_number": 0.0,
        "accuracy_other": pytest.approx(0.45),
        "accuracy_yes_no": 1.0,
    }


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: vqa.accuracies(["a"], [["a"]], "sometimes"), "mode: expected one of official, always"),
        (lambda: vqa.accuracies(["a"], [["a"], ["b"]]), "found 1 predictions, 2 questions"),
        (lambda: vqa.accuracies(["a", "b"], [["a"], []]), "row 1: expected annotators' answers, found none"),
        (lambda: vqa.accuracies([5], [["a"]]), "row 0: expected texts, found a prediction 5"),
        (lambda: vqa.by_group(np.ones(2), ["x"]), "2 scores and 1 groups"),
        (lambda: vqa.by_group(np.ones(0), []), "0 scores"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def slowly(prediction, answers, ids):
    """The definition on dictionaries, one annotator left out after another; the normalisation is the module's."""
    people = [{"answer": vqa.clean(answer), "answer_id": i} for answer, i in zip(answers, ids, strict=True)]
    prediction = vqa.clean(prediction)
    if len({person["answer"] for person in people}) > 1:
        prediction = vqa.normalise(prediction)
        people = [person | {"answer": vqa.normalise(person["answer"])} for person in people]
    rounds = [[other for other in people if other != left_out] for left_out in people]
    return sum(min(sum(p["answer"] == prediction for p in others) / 3, 1) for others in rounds) / len(people)


WORDS = st.sampled_from(["one", "1", "none", "0", "a dog", "dog.", "dog"])


@settings(max_examples=100, deadline=None)
@given(WORDS, st.lists(st.tuples(WORDS, st.integers(0, 4)), min_size=1, max_size=10))
def test_a_second_implementation_agrees(prediction, people):
    answers, ids = zip(*people, strict=True)
    assert score(prediction, answers, marks=ids) == pytest.approx(slowly(prediction, answers, ids), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="aA b1.,-'?theno", max_size=30))
def test_normalising_twice_is_normalising_once(text):
    assert vqa.normalise(vqa.normalise(text)) == vqa.normalise(text)


def test_two_hundred_thousand_predictions_take_seconds():
    answers = [[f"a {row}-th", f"{row} th", "none", *["dog"] * 7] for row in range(20_000)] * 10
    start = time.process_time()
    scores = vqa.accuracies([f"{row} th" for row in range(20_000)] * 10, answers)
    assert time.process_time() - start < 10
    assert (scores == 0.6).all()


@pytest.fixture(scope="module")
def questions():
    """The real questions, by id."""
    if not SUBSET.exists():
        pytest.skip(f"{SUBSET} isn't there; it holds real VQA v2 questions to compare with the official scorer")
    names = {"questions": "{subset}_questions.json.gz", "annotations": "{subset}_annotations.json.gz"}
    options = {"root": SUBSET, "check_images": False, **names}
    parts = [data.load("vqa2", subsets={"val": subset}, **options).questions for subset in ("valid", "test")]
    together = {name: parts[0][name] + parts[1][name] for name in parts[0]}
    order = np.argsort(together["question_id"])
    return {name: [values[i] for i in order] for name, values in together.items()}


def drawn(answers):
    """Seeded predictions that need the normalisation: an annotator's answer, often of the next question, framed."""
    frames = ("{}", "The {}", "{}.", "a {}!", " {}\n", "{}, {}", "none", "1,0 {}", "two {}")
    stream, predictions = random.Random(0), []
    for row in range(len(answers)):
        said = answers[(row + int(1.5 * stream.random())) % len(answers)]
        answer = said[int(10 * stream.random())]
        predictions.append(frames[int(len(frames) * stream.random() ** 3)].format(answer, answer))
    return predictions


PREDICTORS = {
    "majority": lambda table: table["multiple_choice_answer"],
    "first": lambda table: [said[0] for said in table["answers"]],
    "yes": lambda table: ["yes"] * len(table["answers"]),
    "drawn": lambda table: drawn(table["answers"]),
}


@pytest.mark.parametrize("name", PREDICTORS)
def test_the_official_scorers_numbers_on_real_questions(questions, name):
    """The golden table was made by the official scorer (its print statements aside, under Python 3), not by ours."""
    with open(GOLDEN, encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["predictions"] == name]
    scores = vqa.accuracies(PREDICTORS[name](questions), questions["answers"])
    found = {("all", ""): scores.mean()}
    for by in ("answer_type", "question_type"):
        found |= {(by, group): mean for group, mean in vqa.by_group(scores, questions[by]).items()}
    assert len(scores) == 11_939
    assert len(rows) == (69 if name == "drawn" else 4)
    for row in rows:
        assert 100 * found[row["by"], row["group"]] == pytest.approx(float(row["per_cent"]), abs=1e-9), row
