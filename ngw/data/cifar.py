"""CIFAR-10 and CIFAR-100 from their published files, python or binary version, as PNG files with labels.

Krizhevsky, Learning multiple layers of features from tiny images, 2009, https://www.cs.toronto.edu/~kriz/cifar.html:
60,000 colour images of 32 pixels, 10,000 of them for testing.  The python version is pickled; `unpickle` reads arrays,
texts, numbers, lists and mappings from it, and nothing else, so that no file can run code.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ngw.data import Classes, Dataset, finish, table
from ngw.data._files import read_json, read_text, take, take_list
from ngw.errors import InputError

FILES = ("source",)
SIDE = 32  # pixels
FIRST_ID = {"train": 0, "test": 1_000_000}
LABELS = "labels.json"  # written by `write` beside the images


class Version(NamedTuple):
    """A published version: the files of each split, the place of the names, and the levels of labels in byte order."""

    files: Mapping[str, tuple[str, ...]]
    meta: Mapping[str, str]  # level of labels: the file of names (binary), or its key in the file "meta" (python)
    keys: Mapping[str, bytes]  # level: the key of the labels (python)
    binary: bool
    head: str = ""  # python: the file with the names


FIVE = range(1, 6)
VERSIONS = (
    Version(
        {"train": tuple(f"data_batch_{k}" for k in FIVE), "test": ("test_batch",)},
        {"fine": "label_names"}, {"fine": b"labels"}, False, "batches.meta",
    ),
    Version(
        {"train": ("train",), "test": ("test",)}, {"coarse": "coarse_label_names", "fine": "fine_label_names"},
        {"coarse": b"coarse_labels", "fine": b"fine_labels"}, False, "meta",
    ),
    Version(
        {"train": tuple(f"data_batch_{k}.bin" for k in FIVE), "test": ("test_batch.bin",)},
        {"fine": "batches.meta.txt"}, {}, True,
    ),
    Version(
        {"train": ("train.bin",), "test": ("test.bin",)},
        {"coarse": "coarse_label_names.txt", "fine": "fine_label_names.txt"}, {}, True,
    ),
)  # fmt: skip


class _Arrays(pickle.Unpickler):
    """Reads numbers, texts, lists, mappings and NumPy arrays of bytes; anything else that a pickle names is refused."""

    ALLOWED = (("numpy", "ndarray"), ("numpy", "dtype"))
    MAKERS = ("numpy.core.multiarray", "numpy._core.multiarray")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self.ALLOWED:
            return getattr(np, name)
        if module in self.MAKERS and name == "_reconstruct":
            return _plain_array
        raise pickle.UnpicklingError(f"{module}.{name}, which is no array, text, number, list or mapping")


def _plain_array(kind: type, shape: tuple, code: Any) -> np.ndarray:
    """The empty array of bytes that a pickled array starts from; its content follows."""
    return np.ndarray.__new__(np.ndarray, (0,), np.uint8)


def unpickle(path: Path) -> dict[bytes, Any]:
    """A batch of the python version, its keys as bytes; an `InputError` if it holds anything but data."""
    try:
        content = _Arrays(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except OSError as error:
        raise InputError(f"{path}: expected a file that can be read, found {error.strerror}; check it.") from None
    except Exception as error:  # a pickle can raise anything; all of it means that this is no batch
        raise InputError(f"{path}: expected a pickled batch of CIFAR, found {error}; fetch it again.") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping, found {type(content).__name__}; fetch it again.")
    return {key.encode() if isinstance(key, str) else key: value for key, value in content.items()}


def labelled(**_: Any) -> bool:
    """Every image has a label."""
    return True


def check_labels(labels: str) -> None:
    """Check that labels are the fine classes, or the 20 coarse ones of CIFAR-100."""
    if labels not in ("fine", "coarse"):
        raise InputError(f"cifar labels: expected 'fine' or 'coarse', found {labels!r}; choose one.")


def write(root: str | os.PathLike, source: str, labels: str = "fine") -> None:
    """Write the images as PNG files under `root`, and their labels.

    source: the folder of the published files (cifar-10-batches-py, cifar-100-python, cifar-10-batches-bin or
    cifar-100-binary).  labels: "fine", or for CIFAR-100 also "coarse".
    """
    from PIL import Image

    root, folder = Path(root), Path(source)
    version = _version(folder)
    if labels not in version.meta:
        raise InputError(f"{folder}: expected {labels} labels, found {' and '.join(version.meta)} ones; choose those.")
    names, entries = _names(folder, version, labels), []
    shutil.rmtree(root, ignore_errors=True)
    for split, files in version.files.items():
        (root / split).mkdir(parents=True)
        rows = (row for file in files for row in _batch(folder / file, version, labels))
        for image_id, (image, label) in enumerate(rows, FIRST_ID[split]):
            entries.append([image_id, split, label])
            Image.fromarray(image).save(root / split / f"{image_id}.png", compress_level=1)
    (root / LABELS).write_text(json.dumps({"names": names, "images": entries}), encoding="utf-8")


def _version(folder: Path) -> Version:
    """The version whose files are all in a folder."""
    for version in VERSIONS:
        wanted = [name for names in version.files.values() for name in names]
        if all((folder / name).is_file() for name in [*wanted, version.head or next(iter(version.meta.values()))]):
            return version
    raise InputError(
        f"{folder}: expected the published files of CIFAR-10 or CIFAR-100 (data_batch_1, or train and test, or the "
        "same ending in .bin, with the classes' names), found others; unpack the archive there, or check source."
    )


def _names(folder: Path, version: Version, labels: str) -> list[str]:
    """The classes' names, as words."""
    if version.binary:
        names = [line for line in read_text(folder / version.meta[labels]).split("\n") if line.strip()]
    else:
        given = unpickle(folder / version.head).get(version.meta[labels].encode())
        if not isinstance(given, list) or not all(isinstance(name, bytes | str) for name in given):
            raise InputError(
                f"{folder / version.head}: expected names of classes, found {given!r:.80}; fetch it again."
            )
        names = [name if isinstance(name, str) else name.decode("utf-8", "replace") for name in given]
    return [name.strip().replace("_", " ") for name in names]


def _batch(file: Path, version: Version, labels: str) -> Iterator[tuple[np.ndarray, int]]:
    """The images uint8 [32, 32, 3] of a file, each with its label."""
    values, chosen = (_of_bytes if version.binary else _of_pickle)(file, version, labels)
    for row, label in zip(values, chosen, strict=True):
        yield np.ascontiguousarray(row.reshape(3, SIDE, SIDE).transpose(1, 2, 0)), label


def _of_bytes(file: Path, version: Version, labels: str) -> tuple[np.ndarray, list[int]]:
    """Images and labels of a binary file: a record has one byte for each level of labels, then the channels by rows."""
    content, levels = np.fromfile(file, np.uint8), list(version.meta)
    width = len(levels) + 3 * SIDE * SIDE
    if not content.size or content.size % width:
        raise InputError(f"{file}: expected records of {width} bytes, found {content.size} bytes; fetch it again.")
    records = content.reshape(-1, width)
    return records[:, len(levels) :], records[:, levels.index(labels)].tolist()


def _of_pickle(file: Path, version: Version, labels: str) -> tuple[np.ndarray, list[int]]:
    """Images and labels of a file of the python version."""
    content = unpickle(file)
    values, chosen = content.get(b"data"), content.get(version.keys[labels])
    if (
        isinstance(values, np.ndarray)
        and isinstance(chosen, list)
        and values.dtype == np.uint8
        and values.shape == (len(chosen), 3 * SIDE * SIDE)
    ):
        return values, chosen
    raise InputError(
        f"{file}: expected {3 * SIDE * SIDE} bytes and a label an image, found other data; fetch it again."
    )


def load(
    root: str | os.PathLike, check_images: bool = True, on_error: str = "stop", threads: int = 2
) -> Dataset:  # fmt: skip
    """Read what `write` wrote; options as in `karpathy.load`."""
    root = Path(root)
    content = read_json(root / LABELS)
    rows = take_list(content, "images", str(root / LABELS))
    return finish(
        Dataset(
            table("images", [(k, split, str(root / split / f"{k}.png")) for k, split, _ in rows]),
            labels=table("labels", rows),
            classes=Classes(tuple(take(content, "names", str(root / LABELS)))),
            source=str(root),
        ),
        check_images, on_error, threads,
    )  # fmt: skip
