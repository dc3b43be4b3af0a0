"""VQA as classification over frequent answers: vocabulary, soft targets, ceiling, priors, and the results file.

The vocabulary is the field's (Teney et al., Tips and Tricks for Visual Question Answering, CVPR 2018): every normalised
`multiple_choice_answer` with at least nine occurrences, 3,129 of them on VQA v2's train and val together. A target is
an answer's score by the scorer, so its normalisation is the scorer's (`ngw.metrics.vqa` explains the modes).
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ngw import io
from ngw.data import Table
from ngw.data._files import take
from ngw.errors import InputError, did_you_mean
from ngw.metrics.vqa import check_mode, normalise, soft_scores

if TYPE_CHECKING:
    from scipy.sparse import csr_array

NAMED = 5  # ids in an error's sentence, before "..."


@dataclass(frozen=True)
class Vocabulary:
    """The answers from which a model chooses, most frequent first, and the splits on which they were counted."""

    answers: tuple[str, ...]
    counts: tuple[int, ...]  # occurrences of each
    min_count: int
    splits: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Its entry in a run's record: size, threshold, and the splits (train alone, or val too)."""
        return {"n_answers": len(self.answers), "min_count": self.min_count, "splits": list(self.splits)}


def rows_of(questions: Table, splits: Sequence[str]) -> list[int]:
    """The rows of some splits' questions, all labelled; a split without questions is an `InputError`."""
    for split in splits:
        if split not in questions["split"]:
            raise InputError(f"questions: split {split!r} has none.{did_you_mean(split, set(questions['split']))}")
    rows = [row for row, split in enumerate(questions["split"]) if split in splits]
    for row in rows:
        if not questions["multiple_choice_answer"][row]:
            raise InputError(
                f"questions: question_id {questions['question_id'][row]}: expected a multiple_choice_answer, found none"
                f"; leave the unlabelled split {questions['split'][row]!r} out."
            )
    return rows


def ranked(answers: Iterable[str]) -> list[tuple[str, int]]:
    """Normalised answers and their counts, most frequent first, ties in alphabetical order."""
    counts = Counter(normalise(answer) for answer in answers)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def vocabulary(questions: Table, splits: Sequence[str] = ("train",), *, min_count: int) -> Vocabulary:
    """The answers with at least `min_count` occurrences among the `multiple_choice_answer` of some splits."""
    answers = ranked(questions["multiple_choice_answer"][row] for row in rows_of(questions, splits))
    kept = [(answer, count) for answer, count in answers if count >= min_count]
    if not kept:
        raise InputError(
            f"vocabulary: min_count: expected an answer with {min_count} occurrences in {', '.join(splits)}, found at "
            f"most {answers[0][1]} ({answers[0][0]!r}); lower it, or take more questions."
        )
    texts, counts = zip(*kept, strict=True)
    return Vocabulary(texts, counts, min_count, tuple(splits))


def soft_targets(answers: Sequence[Sequence[str]], known: Vocabulary, mode: str = "official") -> csr_array:
    """The accuracy of each answer of the vocabulary on each question.

    answers: [n_questions], each the annotators'. Returns float64 [n_questions, n_answers], sparse, of 0, .3, .6, .9, 1.
    In mode `official`, an answer that ten annotators wrote alike, but unnormalised, isn't in the vocabulary.
    """
    from scipy.sparse import csr_array

    check_mode(mode)
    column_of = {answer: column for column, answer in enumerate(known.answers)}
    rows, columns, values = [], [], []
    for row, given in enumerate(answers):
        try:
            scores, _ = soft_scores(given, mode)
        except ValueError as error:
            raise InputError(f"question at row {row}: {error}") from None
        for answer, score in scores.items():
            if answer in column_of and score:
                rows.append(row)
                columns.append(column_of[answer])
                values.append(score)
    return csr_array((np.array(values, float), (rows, columns)), shape=(len(answers), len(column_of)))


def ceiling(targets: csr_array) -> float:
    """The best accuracy possible: the mean over questions of the best target.  targets: [n_questions, n_answers]"""
    return float(targets.max(axis=1).toarray().mean())


def prior(known: Table, questions: Table, splits: Sequence[str] = ("train",)) -> list[str]:
    """The most frequent answer of `known`'s splits, for each of `questions`: [n_questions]."""
    answers = (known["multiple_choice_answer"][row] for row in rows_of(known, splits))
    return [ranked(answers)[0][0]] * len(questions["question_id"])


def prior_by_type(known: Table, questions: Table, splits: Sequence[str] = ("train",)) -> list[str]:
    """The most frequent answer to each question's type, or of all if `known` lacks the type: [n_questions].

    A question's type is its first words, so this prior needs neither the image nor the rest of the question.
    """
    of_type = defaultdict(list)
    for row in rows_of(known, splits):
        of_type[known["question_type"][row]].append(known["multiple_choice_answer"][row])
    best = {question_type: ranked(answers)[0][0] for question_type, answers in of_type.items()}
    rest = prior(known, questions, splits)
    return [best.get(kind, other) for kind, other in zip(questions["question_type"], rest, strict=True)]


def check_results(ids: Sequence[int], questions: Iterable[int], where: str) -> None:
    """Check that each question has exactly one answer, and no other has any: the evaluation server refuses the rest."""
    questions, counts = set(questions), Counter(ids)
    flaws = {
        "answered more than once": [i for i, times in counts.items() if times > 1],
        "without an answer": questions - counts.keys(),
        "answered but not asked": counts.keys() - questions,
    }
    for flaw, bad in flaws.items():
        if bad:
            named = ", ".join(map(str, sorted(bad)[:NAMED])) + ", ..." * (len(bad) > NAMED)
            raise InputError(
                f"{where}: question_id {named}: expected each of {len(questions)} questions answered once, found "
                f"{len(bad)} {flaw}; answer all questions of this split, and no others."
            )


def write_results(
    path: str | os.PathLike, ids: Sequence[int], answers: Sequence[str], questions: Iterable[int]
) -> None:
    """Write predictions as the official results file, [{"question_id": .., "answer": ..}, ...], which EvalAI takes.

    ids, answers: [n]. questions: the question ids of the whole split.
    """
    if len(ids) != len(answers):
        raise InputError(f"{path}: expected an answer for every id, found {len(ids)} ids and {len(answers)} answers.")
    check_results(ids, questions, str(path))
    for i, answer in zip(ids, answers, strict=True):
        check_answer(answer, f"{path}: question_id {i}")
    io.write_json(path, [{"question_id": int(i), "answer": a} for i, a in zip(ids, answers, strict=True)])


def check_answer(answer: Any, where: str) -> str:
    """`answer`, if it is a text; otherwise an `InputError`."""
    if not isinstance(answer, str):
        raise InputError(f"{where}: expected a text as answer, found {answer!r}; write it as a text.")
    return answer


def read_results(path: str | os.PathLike, questions: Sequence[int]) -> list[str]:
    """The answers of an official results file, in the order of the question ids `questions`: [n]."""
    entries = io.read_json(path)
    if not isinstance(entries, list):
        raise InputError(f"{path}: expected a list of answers, found {type(entries).__name__}; is it a results file?")
    ids = [take(entry, "question_id", f"{path}: entry {n}") for n, entry in enumerate(entries)]
    check_results(ids, questions, str(path))
    answers = [take(entry, "answer", f"{path}: question_id {i}") for i, entry in zip(ids, entries, strict=True)]
    answer = {i: check_answer(a, f"{path}: question_id {i}") for i, a in zip(ids, answers, strict=True)}
    return [answer[i] for i in questions]
