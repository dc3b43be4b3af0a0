"""A data set as tables (images, captions, questions, labels), and the checks that data of every source must pass."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ngw import io
from ngw.data._classes import Classes, check_labels
from ngw.data._files import is_id
from ngw.errors import InputError, nearest

Table = dict[str, list]
SPLITS = ("train", "val", "test")
COLUMNS = {
    "images": ("image_id", "split", "path"),
    "captions": ("caption_id", "image_id", "split", "text"),
    "questions": (
        *("question_id", "image_id", "split", "text"),
        *("question_type", "answer_type", "multiple_choice_answer", "answers"),
    ),
    "labels": ("image_id", "split", "label"),
}


def table(name: str, rows: Iterable[Sequence] = ()) -> Table:
    """Rows in the order of COLUMNS[name] as columns."""
    columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS[name])
    return {key: list(values) for key, values in zip(COLUMNS[name], columns, strict=True)}


@dataclass
class Dataset:
    """Images, captions, questions and labels as column tables, the classes of the labels, the source of all, and a
    record of what was left out."""

    images: Table
    captions: Table = field(default_factory=lambda: table("captions"))
    questions: Table = field(default_factory=lambda: table("questions"))
    source: str = ""
    record: dict[str, Any] = field(default_factory=dict)
    labels: Table = field(default_factory=lambda: table("labels"))
    classes: Classes = field(default_factory=Classes)

    def check(self) -> Dataset:
        """Return this data set; an `InputError` unless ids are unique whole numbers and all references resolve."""
        for name, key in (
            ("images", "image_id"),
            ("captions", "caption_id"),
            ("questions", "question_id"),
            ("labels", "image_id"),
        ):
            check_ids(getattr(self, name)[key], key, self.source)
        if not self.images["image_id"]:
            raise InputError(f"{self.source}: expected at least one image, found none; check file and splits.")
        check_paths(self.images, self.source)
        split_of = dict(zip(self.images["image_id"], self.images["split"], strict=True))
        for name in ("captions", "questions"):
            shared = name == "questions" and self.record.get("shared_images") == "keep"
            check_references(name, getattr(self, name), split_of, self.source, shared)
        check_labels(self.labels, self.classes, split_of, self.source)
        if self.captions["image_id"]:
            silent = next(iter(split_of.keys() - set(self.captions["image_id"])), None)
            if silent is not None:
                raise InputError(f"{self.source}: image {silent}: expected a caption, found none; take the image out.")
        return self

    def without(self, paths: Iterable[str]) -> Dataset:
        """The data set without some images and their captions, questions and labels."""
        paths = set(paths)
        gone = {i for i, path in zip(self.images["image_id"], self.images["path"], strict=True) if path in paths}
        kept = {name: drop(getattr(self, name), gone) for name in COLUMNS}
        return Dataset(**kept, classes=self.classes, source=self.source, record=dict(self.record))

    def sizes(self) -> dict[str, dict[str, int]]:
        """How many images, captions, questions and labels each split has."""
        return {name: dict(Counter(getattr(self, name)["split"])) for name in COLUMNS}

    def save(self, folder: str | os.PathLike) -> None:
        """Write the tables as parquet, and then classes.json and record.json."""
        for name in COLUMNS:
            io.write_table(Path(folder) / f"{name}.parquet", getattr(self, name))
        self.classes.save(Path(folder) / "classes.json")
        io.write_record(Path(folder) / "record.json", {"source": self.source, **self.sizes(), **self.record})

    @classmethod
    def read(cls, folder: str | os.PathLike) -> Dataset:
        """Read what `save` wrote."""
        folder = Path(folder)
        record = io.read_record(folder / "record.json")
        for name in COLUMNS:  # sizes, which the tables have
            record.pop(name)
        tables = {name: io.read_table(folder / f"{name}.parquet", columns) for name, columns in COLUMNS.items()}
        classes = Classes.read(folder / "classes.json")
        return cls(**tables, classes=classes, source=record.pop("source"), record=record)


def drop(columns: Table, gone: set[int]) -> Table:
    """A table without the rows of some images."""
    keep = [i for i, image_id in enumerate(columns["image_id"]) if image_id not in gone]
    return {name: [values[i] for i in keep] for name, values in columns.items()}


def check_ids(ids: list, key: str, source: str) -> None:
    """Check that ids are whole numbers, each once."""
    for value in ids:
        if not is_id(value):
            raise InputError(
                f"{source}: {key} {value!r:.80}: expected a whole number below 2**63, found {type(value).__name__}; "
                "mend it."
            )
    if len(set(ids)) < len(ids):
        value, times = Counter(ids).most_common(1)[0]
        raise InputError(f"{source}: {key} {value}: expected once, found {times} times; remove the duplicates.")


def check_paths(images: Table, source: str) -> None:
    """Check that no file belongs to two images."""
    owner: dict[str, int] = {}
    for image_id, path in zip(images["image_id"], images["path"], strict=True):
        if owner.setdefault(path, image_id) != image_id:
            raise InputError(
                f"{source}: image {image_id}: expected a file of its own, found {path}, which is image "
                f"{owner[path]}'s; give each image once."
            )


def check_references(name: str, columns: Table, split_of: dict[int, str], source: str, shared: bool = False) -> None:
    """Check that each caption or question has a text, and an image of the data set and of its own split.

    shared: whether the splits can share images.
    """
    key = COLUMNS[name][0]
    for item, image_id, split, text in zip(*(columns[k] for k in COLUMNS[name][:4]), strict=True):
        if image_id not in split_of:
            raise InputError(
                f"{source}: {key} {item}: expected an image of the data set, found image {image_id}, which isn't "
                "there; add the image or remove the item."
            )
        if split != split_of[image_id] and not shared:
            official = ", or set shared_images where the official splits share images" * (name == "questions")
            raise InputError(
                f"{source}: {key} {item}: expected split {split_of[image_id]!r}, as its image {image_id} has, "
                f"found {split!r}; give both the same split{official}."
            )
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{source}: {key} {item}: expected a text, found {text!r}; write one or remove the item.")


def check_columns(file: str | os.PathLike, header: Sequence[str], wanted: Iterable[str]) -> None:
    """Raise an `InputError` unless a table's first line names all wanted columns, and none twice."""
    for name in wanted:
        if name not in header:
            known = ", ".join(header)
            raise InputError(
                f"{file}: expected a column {name!r}, found {known}; name it in line 1.{nearest(name, header)}"
            )
    twice = [name for name, times in Counter(header).items() if name and times > 1]
    if twice:
        raise InputError(f"{file}: expected each column once, found {twice[0]!r} again in line 1; take one out.")
