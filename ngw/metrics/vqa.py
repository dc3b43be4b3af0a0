"""VQA accuracy: what the official scorer computes, its quirks included, and a plain variant beside it.

An answer counts min(matches / 3, 1), averaged over all ways to leave one of the ten annotators out (Antol et al., VQA,
ICCV 2015; Goyal et al., CVPR 2017), so it scores 0, .3, .6, .9 or 1. What the official scorer (GT-Vision-Lab/VQA,
vqaEval.py) does besides, and mode `official` too:

* New lines and tabs become spaces and the ends are stripped, always; the rest of the normalisation is done only for
  questions on which the annotators disagree. Ten times "none" is matched by "none", and not by "0".
* A punctuation mark vanishes where it stands beside a space, or where a comma stands between digits anywhere in the
  text; elsewhere it becomes a space.
* A period vanishes unless a digit follows, even after a digit ("5." is "5"), and only the first 32 do.
* "none" is 0. "somebody'd" loses its apostrophe. Capitals are gone before contractions are looked up.
* "Leave one out" leaves out everyone with the same answer, `answer_id` and confidence: two annotators with one id would
  both go. In VQA v2 the ids of a question's annotators differ.

Mode `always` normalises every question and leaves annotators out by position. Scores are fractions and not rounded (the
official scorer rounds percentages to two decimals).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import cache, lru_cache

import numpy as np

MODES = ("official", "always")
ARTICLES = ("a", "an", "the")
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(_DIGITS)}
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd
    he'd've he's how'd how'll how's I'd've I'm I've isn't it'd it'd've it'll let's ma'am mightn't mightn't've
    might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've she's should've shouldn't
    shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd
    something'd've something'll that's there'd there'd've there're there's they'd they'd've they'll they're they've
    'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd where's where've who'd who'd've
    who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd
    you'd've you'll you're you've
"""  # the right sides of the official table
_LET_BE = ("lets", "shes")  # words that the official table doesn't take for contractions
_PERIODS = 32  # re.UNICODE, which the official scorer passes where `sub` wants a count
_PERIOD = re.compile(r"\.(?![0-9])")
_COMMA_IN_NUMBER = re.compile(r"[0-9],[0-9]")


def _without_one_apostrophe(words: str) -> dict[str, str]:
    """Every way to drop one apostrophe of a contraction, and the contraction."""
    return {word[:i] + word[i + 1 :]: word for word in words.split() for i, letter in enumerate(word) if letter == "'"}


CONTRACTIONS = _without_one_apostrophe(CONTRACTED) | {"somebody'd": "somebodyd"}
for _word in _LET_BE:
    del CONTRACTIONS[_word]


def clean(text: str) -> str:
    """The part of the normalisation that every answer gets: spaces for new lines and tabs, none at the ends."""
    return text.replace("\n", " ").replace("\t", " ").strip()


@lru_cache(1 << 18)
def normalise(text: str) -> str:
    """An answer as the scorer compares it: punctuation, then number words, articles and contractions."""
    words = [NUMBERS.get(word, word) for word in _without_punctuation(clean(text)).lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _without_punctuation(text: str) -> str:
    """`text` without marks; whether a mark leaves a space behind depends on the original text."""
    bare, number = text, _COMMA_IN_NUMBER.search(text)
    for mark in PUNCTUATION:
        if mark in text:
            vanishes = number or mark + " " in text or " " + mark in text
            bare = bare.replace(mark, "" if vanishes else " ")
    return _PERIOD.sub("", bare, count=_PERIODS)


@cache
def leave_one_out(matches: int, annotators: int = 10) -> float:
    """Mean over annotators of min(matches among the others / 3, 1); of ten, 0 to 4 matches give 0, .3, .6, .9, 1."""
    thirds = matches * min(matches - 1, 3) + (annotators - matches) * min(matches, 3)
    return thirds / (3 * annotators)


def _leave_twins_out(answers: Sequence[str], marks: Sequence[Hashable]) -> dict[str, float]:
    """Scores where annotators with the same mark and answer are left out together, as equal dictionaries are."""
    matches, twins = Counter(answers), Counter(zip(answers, marks, strict=True))
    return {
        answer: sum(k * min((m - k if who == answer else m), 3) for (who, _), k in twins.items()) / (3 * len(answers))
        for answer, m in matches.items()
    }


def soft_scores(
    answers: Sequence[str], mode: str = "official", marks: Sequence[Hashable] | None = None
) -> tuple[dict[str, float], bool]:
    """One question's score of every answer that an annotator gave, and whether answers are compared normalised.

    answers: the annotators'. marks: what distinguishes annotators in the official scorer, beside their answers, e.g.
    (answer_id, answer_confidence); None: all differ. An answer that is not in the result scores 0.
    """
    cleaned = [clean(answer) for answer in answers]
    if not cleaned:
        raise ValueError("expected annotators' answers, found none; score labelled splits only.")
    normal = mode == "always" or len(set(cleaned)) > 1
    if normal:
        cleaned = [normalise(answer) for answer in cleaned]
    if mode == "official" and marks is not None:
        return _leave_twins_out(cleaned, marks), normal
    return {answer: leave_one_out(m, len(cleaned)) for answer, m in Counter(cleaned).items()}, normal


def accuracies(
    predictions: Sequence[str],
    answers: Sequence[Sequence[str]],
    mode: str = "official",
    marks: Sequence[Sequence[Hashable] | None] | None = None,
) -> np.ndarray:
    """Accuracy of every prediction.

    Args:
        predictions: [n] texts, the model's answers.
        answers: [n], each the question's annotators' answers (ten in VQA v2), as the annotation file has them.
        mode: `official` or `always`, see above.
        marks: [n], each as `soft_scores`'s; None where annotators' ids differ.

    Returns:
        float64 [n], fractions in [0, 1].

    Raises:
        ValueError: lengths that differ, a mode that doesn't exist, a question (its row is named) without annotators or
            whose prediction isn't a text.
    """
    check_mode(mode)
    marks = [None] * len(answers) if marks is None else marks
    if not len(predictions) == len(answers) == len(marks):
        raise ValueError(
            f"expected one prediction per question, found {len(predictions)} predictions, {len(answers)} questions' "
            f"answers and {len(marks)} questions' marks; give all in one order."
        )
    scores = np.empty(len(answers))
    for row, (prediction, given, mark) in enumerate(zip(predictions, answers, marks, strict=True)):
        try:
            known, normal = soft_scores(given, mode, mark)
            scores[row] = known.get(normalise(prediction) if normal else clean(prediction), 0.0)
        except ValueError as error:
            raise ValueError(f"question at row {row}: {error}") from None
        except (AttributeError, TypeError):
            mismatch = f"a prediction {prediction!r} and answers {given!r}"
            raise ValueError(f"question at row {row}: expected texts, found {mismatch}; write both as texts.") from None
    return scores


def check_mode(mode: str) -> None:
    """Refuse a mode that doesn't exist."""
    if mode not in MODES:
        raise ValueError(f"mode: expected one of {', '.join(MODES)}, found {mode!r}; choose one.")


def by_group(scores: np.ndarray, groups: Sequence[str]) -> dict[str, float]:
    """Mean score of each group (answer types, question types), by name.  scores, groups: [n]."""
    if len(scores) != len(groups) or not len(scores):
        raise ValueError(f"expected a group for every score, found {len(scores)} scores and {len(groups)} groups.")
    names, member = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    means = np.bincount(member, weights=scores) / np.bincount(member)
    return dict(zip(names.tolist(), means.tolist(), strict=True))


def summary(scores: np.ndarray, answer_types: Sequence[str]) -> dict[str, float]:
    """A run's VQA metrics by their names in the tables: `accuracy`, `accuracy_yes_no`, `accuracy_number`, ..."""
    parts = by_group(scores, answer_types)
    named = {f"accuracy_{name.replace('/', '_').replace(' ', '_')}": value for name, value in parts.items()}
    return {"accuracy": float(np.mean(scores)), **named}
