"""easy-VQA: 5,000 drawn images of one coloured shape, 48,248 questions with one answer each, from the package easy-vqa.

Victor Zhou, easy-VQA, 2019, https://github.com/vzhou842/easy-VQA; MIT licence. `pip install easy-vqa` brings 64 px PNG
files and questions (4,000 images for training, 1,000 for testing) and needs no other package. There are no captions.
"""

from __future__ import annotations

import os
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from ngw.data import Dataset, finish, table
from ngw.data._files import check_text, read_json
from ngw.data.vqa2 import ANSWERS
from ngw.errors import InputError
from ngw.seeds import rng

FIRST_ID = {"train": 0, "test": 1_000_000}  # the package numbers both from 0
QUESTION_TYPES = (  # as in VQA v2: the longest known beginning of a question
    *("is there not", "is there", "does the image not contain", "does the image contain", "is no", "is a"),
    *("what shape does", "what shape is", "what is the color", "what is the", "what color is"),
)

PACKAGES = ("easy_vqa",)  # where the data are, if no root is given


def package() -> Path:
    """The data folder of the installed package."""
    spec = find_spec("easy_vqa")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "easy-vqa: expected the package easy-vqa, found none; run `pip install easy-vqa`, or set root to its data."
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def question_type(text: str) -> str:
    """The longest known beginning of a question, or its first two words."""
    known = [start for start in QUESTION_TYPES if text.startswith(start + " ")]
    return max(known, key=len, default=" ".join(text.split()[:2]))


def answer_type(answer: str) -> str:
    """VQA v2's three types."""
    return "yes/no" if answer in ("yes", "no") else "number" if answer.isdecimal() else "other"


def read_split(file: Path, split: str) -> list[tuple]:
    """A file's questions as rows of the table: image ids from FIRST_ID on, ten equal answers."""
    rows = []
    counts: Counter[int] = Counter()
    entries = read_json(file)
    if not isinstance(entries, list):
        raise InputError(f"{file}: expected a list of questions, found {type(entries).__name__}; fetch it again.")
    for n, entry in enumerate(entries):
        if not isinstance(entry, list) or [type(value) for value in entry] != [str, str, int]:
            raise InputError(f"{file}: question {n}: expected [text, answer, image id], found {entry!r:.80}; mend it.")
        text, answer, number = entry
        for value in (text, answer):
            check_text(value, f"{file}: question {n}")
        if not 0 <= number < FIRST_ID["test"]:
            raise InputError(f"{file}: question {n}: expected an image id from 0 to 999999, found {number}; mend it.")
        image_id = FIRST_ID[split] + number
        label = (question_type(text), answer_type(answer), answer, [answer] * ANSWERS)
        rows.append((1000 * image_id + counts[image_id], image_id, split, text, *label))
        counts[image_id] += 1
    return rows


def check_val_share(share: float) -> None:
    """Check that a share is between 0 and 1."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise InputError(f"easy-vqa: val_share: expected a number between 0 and 1, found {share!r}; mend it.")


def held_out(image_ids: list[int], share: float, seed: int) -> set[int]:
    """A seeded share of the training images, by id."""
    check_val_share(share)
    size = max(1, round(share * len(image_ids)))
    if size >= len(image_ids):
        raise InputError(
            f"easy-vqa: val_share {share}: expected images left to train on, found {size} of {len(image_ids)} held out"
            "; lower it."
        )
    return {int(i) for i in rng(seed, "easy-vqa", "val").permutation(sorted(image_ids))[:size]}


def load(
    root: str | os.PathLike | None = None,
    val_share: float = 0.1,
    seed: int = 0,
    check_images: bool = True,
    on_error: str = "stop",
    threads: int = 2,
) -> Dataset:
    """Read easy-VQA; the validation split is a share of the training images, with all their questions.

    root: a folder with {train,test}/questions.json and {train,test}/images/{id}.png; by default the package's.
    val_share: the share of train that becomes val; seed: of that draw. Other options as in `karpathy.load`.
    """
    root = package() if root is None else Path(root)
    rows = [row for split in FIRST_ID for row in read_split(root / split / "questions.json", split)]
    split_of = {row[1]: row[2] for row in rows}
    train = [image_id for image_id, split in split_of.items() if split == "train"]
    folder = {i: root / split / "images" / f"{i - FIRST_ID[split]}.png" for i, split in split_of.items()}
    split_of |= dict.fromkeys(held_out(train, val_share, seed), "val")
    dataset = Dataset(
        table("images", [(i, split, str(folder[i])) for i, split in split_of.items()]),
        questions=table("questions", [(*row[:2], split_of[row[1]], *row[3:]) for row in rows]),
        source=str(root),
        record={"val_share": val_share, "val_seed": seed},
    )
    return finish(dataset, check_images, on_error, threads)
