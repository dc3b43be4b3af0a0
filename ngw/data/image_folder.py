"""Labelled images, one folder a class, without captions: the layout of ImageNet and of torchvision's ImageFolder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ngw.data import SPLITS, Classes, Dataset, finish, table
from ngw.data._classes import read_classes
from ngw.errors import InputError, did_you_mean
from ngw.io import folders

FILES = ("classes",)
NAMES = ("classes.yaml", "classes.txt")  # below root, unless `classes` names a file


def labelled(**_: Any) -> bool:
    """Every image has a label: its folder's class."""
    return True


def load(
    root: str | os.PathLike,
    splits: Mapping[str, str] | None = None,
    classes: str | None = None,
    check_images: bool = True,
    on_error: str = "stop",
    threads: int = 2,
) -> Dataset:
    """Read root/{split}/{class}/**: every file that isn't hidden, nor in a hidden folder, is an image; ids follow the
    sorted order, and links are followed.

    splits: the folder below root of each split, e.g. {"test": "val"} ("." is root itself); by default train, val and
    test, as far as they exist.  classes: a .txt or .yaml with the classes' names (`ngw.data._classes.read_classes`), by
    default root/classes.yaml or root/classes.txt, else the folders' names; if there is a test split, every class needs
    an image in it.  Other options as in `karpathy.load`.
    """
    root = Path(root)
    chosen = _folders(root, splits)
    inside = {split: _subfolders(folder) for split, folder in chosen.items()}
    known = sorted({name for names in inside.values() for name in names})
    names, templates = read_classes(_file(root, classes), known)
    place = {folder: label for label, folder in enumerate(names)}
    rows = [
        (split, path, place[name])
        for split, folder in chosen.items()
        for name in inside[split]
        for path in folders.files(folder / name)
    ]
    if not rows:
        raise InputError(f"{root}: expected images in folders of classes, found none; check root and splits.")
    return finish(
        Dataset(
            table("images", [(k, split, path) for k, (split, path, _) in enumerate(rows)]),
            labels=table("labels", [(k, split, label) for k, (split, _, label) in enumerate(rows)]),
            classes=Classes(tuple(names.values()), templates),
            source=str(root),
        ),
        check_images, on_error, threads,
    )  # fmt: skip


def check_splits(splits: Mapping[str, str]) -> None:
    """Check the names of splits and their folders."""
    if not isinstance(splits, Mapping) or not splits:
        raise InputError(f"image-folder splits: expected e.g. {{test: val}}, found {splits!r:.80}; mend it.")
    for split, folder in splits.items():
        if split not in SPLITS:
            raise InputError(f"image-folder splits: split {split!r} is unknown.{did_you_mean(str(split), SPLITS)}")
        if not isinstance(folder, str) or not folder:
            raise InputError(f"image-folder splits: {split}: expected a folder's name, found {folder!r}; mend it.")


def _file(root: Path, classes: str | None) -> Path:
    """The file of the classes: the named one, or else the first of NAMES below root."""
    if classes is not None:
        if not Path(classes).is_file():
            raise InputError(f"{classes}: expected the file of the classes' names, found none; check `classes`.")
        return Path(classes)
    return next((root / name for name in NAMES if (root / name).is_file()), root / NAMES[0])


def _folders(root: Path, splits: Mapping[str, str] | None) -> dict[str, Path]:
    """The folder of each split."""
    if splits is None:
        splits = {split: split for split in SPLITS if os.path.lexists(root / split)}
        if not splits:
            raise InputError(
                f"{root}: expected folders train, val or test, found none; give others by splits: {{test: FOLDER}}."
            )
    check_splits(splits)
    for split, name in splits.items():
        if not (root / name).is_dir():
            raise InputError(
                f"{root / name}: expected the folder of split {split!r}, found none; check root and splits."
            )
    return {split: root / splits[split] for split in SPLITS if split in splits}


def _subfolders(folder: Path) -> list[str]:
    """The names of the classes' folders, sorted; files beside them are of no class."""
    found = folders.entries(folder)
    for entry in found:
        if not os.path.exists(entry.path):
            raise InputError(f"{entry.path}: expected a folder, found a link that leads nowhere; mend or remove it.")
    return [entry.name for entry in found if folders.is_folder(entry)]
