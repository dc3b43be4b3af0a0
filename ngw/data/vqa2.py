"""VQA v2: the official question and annotation files, ten answers a question (Goyal et al., CVPR 2017)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ngw.data import SPLITS, Dataset, Table, check_ids, finish, table
from ngw.data._files import present, read_json, take_id, take_list, take_text
from ngw.errors import InputError, did_you_mean

ANSWERS = 10  # annotators a question
HOW = (
    "get the questions' and annotations' archives from https://visualqa.org/download.html and unpack them below root; "
    "test subsets have questions only."
)


def labels(entry: dict, where: str) -> tuple[int, tuple]:
    """An annotation's image id and (question_type, answer_type, multiple_choice_answer, answers)."""
    given = take_list(entry, "answers", where)
    answers = [take_text(answer, "answer", f"{where}: answer {n}") for n, answer in enumerate(given)]
    if len(answers) != ANSWERS:
        raise InputError(f"{where}: expected {ANSWERS} answers, found {len(answers)}; mend the annotation file.")
    people = Counter(take_id(answer, "answer_id", where) for answer in given if "answer_id" in answer)
    if people and max(people.values()) > 1:
        number, times = people.most_common(1)[0]
        raise InputError(
            f"{where}: answer_id {number}: expected once, found {times} times; number the annotators, since the "
            "official scorer distinguishes them by it."
        )
    fields = (take_text(entry, key, where) for key in ("question_type", "answer_type", "multiple_choice_answer"))
    return take_id(entry, "image_id", where), (*fields, answers)


def read_annotations(file: Path) -> dict[int, tuple[int, tuple]]:
    """Labels by question id."""
    entries = take_list(read_json(file), "annotations", str(file))
    ids = [take_id(entry, "question_id", f"{file}: annotation {n}") for n, entry in enumerate(entries)]
    check_ids(ids, "question_id", str(file))
    return {i: labels(entry, f"{file}: question_id {i}") for i, entry in zip(ids, entries, strict=True)}


def read_split(questions: str | os.PathLike, annotations: str | os.PathLike | None, split: str) -> list[tuple]:
    """The rows of one split's questions. annotations: None where no answers are public (then labels are empty)."""
    known = None if annotations is None else read_annotations(Path(annotations))
    entries = take_list(read_json(questions), "questions", str(questions))
    ids = [take_id(entry, "question_id", f"{questions}: question {n}") for n, entry in enumerate(entries)]
    check_ids(ids, "question_id", str(questions))
    rows = []
    for n, (number, entry) in enumerate(zip(ids, entries, strict=True)):
        where = f"{questions}: question {n}"
        image_id = take_id(entry, "image_id", where)
        if known is None:
            label: tuple = ("", "", "", [])
        elif number not in known:
            raise InputError(
                f"{annotations}: question_id {number}: expected an annotation, as {questions} has the question, found "
                "none; take both files from one release."
            )
        else:
            owner, label = known.pop(number)
            if owner != image_id:
                raise InputError(
                    f"{annotations}: question_id {number}: expected image {image_id}, as in {questions}, found "
                    f"{owner}; take both files from one release."
                )
        rows.append((number, image_id, split, take_text(entry, "question", where), *label))
    if known:
        raise InputError(
            f"{annotations}: question_id {next(iter(known))}: expected a question in {questions}, found none "
            f"({len(known)} such annotations); take both files from one release."
        )
    return rows


def add_questions(dataset: Dataset, files: Mapping[str, tuple[Path, Path]]) -> Dataset:
    """The data set with questions, unchecked. files: split -> (questions, annotations).

    Only the test split may lack its annotation file (VQA v2 keeps those answers secret); it is recorded as unlabelled.
    """
    rows, unlabelled = [], []
    for split, (questions, answers) in files.items():
        if split not in SPLITS:
            raise InputError(f"vqa2 subsets: split {split!r} is unknown.{did_you_mean(split, SPLITS)}")
        if split == "test" and not Path(answers).exists():
            unlabelled.append(split)
        rows += read_split(questions, None if split in unlabelled else answers, split)
    source = ", ".join([dataset.source] * bool(dataset.source) + [str(questions) for questions, _ in files.values()])
    record = dataset.record | {"unlabelled_splits": unlabelled, "numbering": "COCO"}
    return replace(dataset, questions=table("questions", rows), source=source, record=record)


def last_splits(questions: Table) -> dict[int, str]:
    """The split of each image with questions; of several splits the most held-out one: test, then val, then train."""
    split_of: dict[int, str] = {}
    for image_id, split in zip(questions["image_id"], questions["split"], strict=True):
        split_of[image_id] = max(split_of.get(image_id, split), split, key=SPLITS.index)
    return split_of


def _share(dataset: Dataset, split_of: Mapping[int, str], shared_images: str) -> Dataset:
    """The data set with shared images treated as `shared_images` says: questions left out, or all kept, on record."""
    if shared_images == "stop":
        return dataset
    record = dataset.record | {"shared_images": shared_images}
    if shared_images == "keep":
        return replace(dataset, record=record)
    questions, numbers = dataset.questions, range(len(dataset.questions["split"]))
    own = [split_of[questions["image_id"][k]] == questions["split"][k] for k in numbers]
    kept = {name: [values[k] for k in numbers if own[k]] for name, values in questions.items()}
    gone = next((split for split in SPLITS if split in questions["split"] and split not in kept["split"]), None)
    if gone is not None:
        raise InputError(
            f"{dataset.source}: expected questions of split {gone!r} about images that no later split shares, found "
            "none; set shared_images: keep."
        )
    left_out = Counter(questions["split"][k] for k in numbers if not own[k])
    return replace(dataset, questions=kept, record=record | {"questions_left_out": dict(left_out)})


def image_subset(subset: str) -> str:
    """The subset with a subset's images: test-dev asks about images of test2015."""
    return subset.replace("test-dev", "test")


def _check_form(option: str, form: str, fields: Mapping[str, str | int]) -> None:
    """Check that the form of a file's name has no other fields than these, given with an example of each."""
    if not isinstance(form, str):
        return  # refused by its type
    try:
        form.format(**fields)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        reason = f"the field {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"vqa2 {option}: expected a file's name, with {' and '.join(f'{{{name}}}' for name in fields)} for what "
            f"varies, found {form!r:.80} ({reason}); mend it."
        ) from None


def check_questions(form: str) -> None:
    """Check the form of the question files' names."""
    _check_form("questions", form, {"subset": "train2014"})


def check_annotations(form: str) -> None:
    """Check the form of the annotation files' names."""
    _check_form("annotations", form, {"subset": "train2014"})


def check_image_name(form: str) -> None:
    """Check the form of the images' names."""
    _check_form("image_name", form, {"subset": "train2014", "image_id": 9})


def load(
    root: str | os.PathLike,
    subsets: Mapping[str, str] | None = None,
    questions: str = "v2_OpenEnded_mscoco_{subset}_questions.json",
    annotations: str = "v2_mscoco_{subset}_annotations.json",
    images: str = "",
    image_name: str = "{subset}/COCO_{subset}_{image_id:012d}.jpg",
    shared_images: str = "stop",
    check_images: bool = True,
    on_error: str = "stop",
    threads: int = 2,
) -> Dataset:
    """Read VQA v2 without captions.

    subsets: split -> its name in the files' names, by default {"train": "train2014", "val": "val2014"}.
    questions, annotations: file names below root, .json or .json.gz, {subset} for the subset's name; image_name: an
    image's path below root/images, {subset} and {image_id} for its own.
    shared_images: what happens if splits share images: "stop", an error; "drop", only the questions of such an image's
    last split stay (test, then val); "keep", all stay, and tables say how many were trained on.
    check_images, on_error, threads: as in `karpathy.load`.
    """
    root, subsets = Path(root), {"train": "train2014", "val": "val2014"} if subsets is None else subsets
    files = {s: (root / questions.format(subset=n), root / annotations.format(subset=n)) for s, n in subsets.items()}
    present((file for split, two in files.items() for file in two[: 1 if split == "test" else 2]), HOW)
    dataset = add_questions(Dataset(table("images")), files)
    owners = last_splits(dataset.questions)
    dataset = _share(dataset, owners, shared_images)
    rows = [
        (i, split, str(root / images / image_name.format(subset=image_subset(subsets[split]), image_id=i)))
        for i, split in owners.items()
    ]
    return finish(replace(dataset, images=table("images", rows)), check_images, on_error, threads)
