"""The labels of a data set's questions as one file: made once from its tables, read by every training."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ngw import io
from ngw.data import SPLITS, Table
from ngw.errors import InputError
from ngw.seeds import rng
from ngw.tasks.vqa import answers

if TYPE_CHECKING:
    from scipy.sparse import csr_array

ALL = "all"


@dataclass(frozen=True)
class Labels:
    """Questions of all splits, and the score of each answer of the vocabulary on them.

    question_ids, image_ids: int64 [n]; split: int8 [n], places in `SPLITS`; targets: float32 [n, n_answers], sparse,
    with empty rows for unlabelled questions.
    """

    question_ids: np.ndarray
    image_ids: np.ndarray
    split: np.ndarray
    targets: csr_array
    vocabulary: answers.Vocabulary

    @classmethod
    def of(cls, questions: Table, min_count: int, splits: Sequence[str] = ("train",)) -> Labels:
        """From a table of questions.  min_count, splits: of the vocabulary.

        Answers are always normalised (mode `always`): the official scorer's exception for unanimous annotators would
        leave answers such as "two" without a target.
        """
        known = answers.vocabulary(questions, splits, min_count=min_count)
        labelled = [row for row, given in enumerate(questions["answers"]) if len(given)]
        targets = answers.soft_targets([questions["answers"][row] for row in labelled], known, "always").tocoo()
        from scipy.sparse import csr_array

        n = len(questions["question_id"])
        places = (np.array(labelled)[targets.row], targets.col)
        spread = csr_array((targets.data.astype(np.float32), places), shape=(n, len(known.answers)))
        if not spread[np.array([s in splits for s in questions["split"]])].nnz:
            raise InputError(
                f"vocabulary: expected answers that some annotator gave, found {len(known.answers)} that cover no "
                f"question of {', '.join(splits)}; do answers and multiple_choice_answer come from one annotation file?"
            )
        code = {name: place for place, name in enumerate(SPLITS)}
        split = np.array([code[name] for name in questions["split"]], np.int8)
        ids, seen = (np.array(questions[key], np.int64) for key in ("question_id", "image_id"))
        return cls(ids, seen, split, spread, known)

    def rows(self, split: str) -> np.ndarray:
        """The rows of a split's questions; an `InputError` where it has none."""
        if split not in SPLITS:
            raise InputError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}; mend tables.vqa.")
        rows = np.flatnonzero(self.split == SPLITS.index(split))
        if not len(rows):
            raise InputError(f"questions: split {split!r}: expected questions, found none; take another split.")
        return rows

    def labelled(self, share: str, seed: int) -> np.ndarray:
        """A share of the training questions, `all` or per cent: the first in a seeded order, so that shares nest."""
        rows = self.rows("train")
        if share == ALL:
            return rows
        count = max(1, round(len(rows) * float(share) / 100))
        return np.sort(rng(seed, "vqa", "labels").permutation(rows)[:count])

    def record(self, split: str) -> dict[str, Any]:
        """A run's entry about the vocabulary, and the best accuracy that it allows on a split."""
        targets = self.targets[self.rows(split)]
        reach = answers.ceiling(targets) if targets.nnz else None
        return {**self.vocabulary.record(), "ceiling": reach}

    def save(self, path: str | os.PathLike) -> None:
        """Write the file."""
        parts = {name: getattr(self.targets, name) for name in ("data", "indices", "indptr")}
        arrays = {name: getattr(self, name) for name in ("question_ids", "image_ids", "split")}
        io.write_tensors(path, arrays | parts, {"vocabulary": json.dumps(vars(self.vocabulary))})

    @classmethod
    def read(cls, path: str | os.PathLike) -> Labels:
        """The labels that `save` wrote."""
        from scipy.sparse import csr_array

        arrays, head = io.read_tensors(path, "a file of labels", "vocabulary")
        content = json.loads(head["vocabulary"])
        tuples = {name: tuple(content[name]) for name in ("answers", "counts", "splits")}
        known = answers.Vocabulary(**{**content, **tuples})
        shape = (len(arrays["question_ids"]), len(known.answers))
        targets = csr_array(tuple(arrays.pop(name) for name in ("data", "indices", "indptr")), shape=shape)
        return cls(**arrays, targets=targets, vocabulary=known)


def held_out(image_ids: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which items are held out of training, bool [n]: all those of a share of the images, one image at least."""
    images = np.unique(image_ids)
    count = max(1, round(share * len(images)))
    if count >= len(images):
        raise InputError(
            f"training: expected items of {count + 1} images or more, since {count} are held out, found "
            f"{len(images)}; give more, or lower held_out."
        )
    return np.isin(image_ids, rng(seed, "vqa", "held out").permutation(images)[:count])
