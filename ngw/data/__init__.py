"""Data sets: one file a kind, each with `load(**options) -> Dataset`; here what they share, tables and their checks."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from tqdm import tqdm

from ngw import io
from ngw.data._files import is_id
from ngw.errors import InputError, did_you_mean, nearest
from ngw.registry import check_type, entry, kinds

Table = dict[str, list]
SPLITS = ("train", "val", "test")
COUNTS = ("captions_per_image", "threads", "workers")  # options that are 1 or more, in every kind that has them
CHOICES = {"on_error": ("stop", "skip"), "restval": ("train", "drop")}  # and those that name one of some
COLUMNS = {
    "images": ("image_id", "split", "path"),
    "captions": ("caption_id", "image_id", "split", "text"),
    "questions": (
        *("question_id", "image_id", "split", "text"),
        *("question_type", "answer_type", "multiple_choice_answer", "answers"),
    ),
}


def table(name: str, rows: Iterable[Sequence] = ()) -> Table:
    """Rows in the order of COLUMNS[name] as columns."""
    columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS[name])
    return {key: list(values) for key, values in zip(COLUMNS[name], columns, strict=True)}


@dataclass
class Dataset:
    """Images, captions and questions as column tables, where they came from, and a record of what was left out."""

    images: Table
    captions: Table = field(default_factory=lambda: table("captions"))
    questions: Table = field(default_factory=lambda: table("questions"))
    source: str = ""
    record: dict[str, Any] = field(default_factory=dict)

    def check(self) -> Dataset:
        """This data set, if its ids are unique whole numbers and every reference is met; else an `InputError`."""
        for name, key in (("images", "image_id"), ("captions", "caption_id"), ("questions", "question_id")):
            check_ids(getattr(self, name)[key], key, self.source)
        if not self.images["image_id"]:
            raise InputError(f"{self.source}: expected at least one image, found none; check file and splits.")
        check_paths(self.images, self.source)
        split_of = dict(zip(self.images["image_id"], self.images["split"], strict=True))
        for name in ("captions", "questions"):
            check_references(name, getattr(self, name), split_of, self.source)
        if self.captions["image_id"]:
            silent = next(iter(split_of.keys() - set(self.captions["image_id"])), None)
            if silent is not None:
                raise InputError(f"{self.source}: image {silent}: expected a caption, found none; take the image out.")
        return self

    def without(self, paths: Iterable[str]) -> Dataset:
        """The data set without some images and all that is said of them."""
        paths = set(paths)
        gone = {i for i, path in zip(self.images["image_id"], self.images["path"], strict=True) if path in paths}
        kept = {name: drop(getattr(self, name), gone) for name in COLUMNS}
        return Dataset(**kept, source=self.source, record=dict(self.record))

    def sizes(self) -> dict[str, dict[str, int]]:
        """How many images, captions and questions each split has."""
        return {name: dict(Counter(getattr(self, name)["split"])) for name in COLUMNS}

    def save(self, folder: str | os.PathLike) -> None:
        """Write the tables as parquet, and then record.json."""
        for name in COLUMNS:
            io.write_table(Path(folder) / f"{name}.parquet", getattr(self, name))
        io.write_record(Path(folder) / "record.json", {"source": self.source, **self.sizes(), **self.record})

    @classmethod
    def read(cls, folder: str | os.PathLike) -> Dataset:
        """Read what `save` wrote."""
        folder = Path(folder)
        record = io.read_record(folder / "record.json")
        for name in COLUMNS:  # sizes, which the tables tell
            record.pop(name)
        tables = {name: io.read_table(folder / f"{name}.parquet", columns) for name, columns in COLUMNS.items()}
        return cls(**tables, source=record.pop("source"), record=record)


def drop(columns: Table, gone: set[int]) -> Table:
    """A table without the rows of some images."""
    keep = [i for i, image_id in enumerate(columns["image_id"]) if image_id not in gone]
    return {name: [values[i] for i in keep] for name, values in columns.items()}


def check_ids(ids: list, key: str, source: str) -> None:
    """Ids must be whole numbers, each once."""
    for value in ids:
        if not is_id(value):
            raise InputError(
                f"{source}: {key} {value!r:.80}: expected a whole number below 2**63, found {type(value).__name__}; "
                "mend it."
            )
    if len(set(ids)) < len(ids):
        value, times = Counter(ids).most_common(1)[0]
        raise InputError(f"{source}: {key} {value}: expected once, found {times} times; remove the doubles.")


def check_paths(images: Table, source: str) -> None:
    """A file must be one image's."""
    owner: dict[str, int] = {}
    for image_id, path in zip(images["image_id"], images["path"], strict=True):
        if owner.setdefault(path, image_id) != image_id:
            raise InputError(
                f"{source}: image {image_id}: expected a file of its own, found {path}, which is image "
                f"{owner[path]}'s; give each image once."
            )


def check_references(name: str, columns: Table, split_of: dict[int, str], source: str) -> None:
    """Captions and questions must be about an image that is there, in its split, and must say something."""
    key = COLUMNS[name][0]
    for item, image_id, split, text in zip(*(columns[k] for k in COLUMNS[name][:4]), strict=True):
        if image_id not in split_of:
            raise InputError(
                f"{source}: {key} {item}: expected an image of the data set, found image {image_id}, which isn't "
                "there; add the image or remove what is said of it."
            )
        if split != split_of[image_id]:
            raise InputError(
                f"{source}: {key} {item}: expected split {split_of[image_id]!r}, that of its image {image_id}, "
                f"found {split!r}; give both the same split."
            )
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{source}: {key} {item}: expected a text, found {text!r}; write one or remove the item.")


def broken(path: str) -> str:
    """Why an image can't be read, or "" where it can: it is decoded whole, and its range is known."""
    from PIL import Image

    from ngw.encoders import _images

    try:
        if not os.path.getsize(path):
            return "a file of zero bytes"
        with Image.open(path) as image:
            image.load()
            if _images.deep(image):
                _images.rgb(image)
    except FileNotFoundError:
        return "no file"
    except (*_images.BROKEN, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno:  # the system's, not Pillow's
            return f"a file that can't be read ({error.strerror})"
        return f"none that can be decoded ({error})"
    return ""


def verify_images(paths: Sequence[str], on_error: str = "stop", threads: int = 2) -> dict[str, str]:
    """Decode every image once; returns {path: why it can't be read}, empty where all is well.

    on_error: "stop" raises an `InputError` that names the first broken file and how many there are; "skip" doesn't.
    """
    if on_error not in ("stop", "skip"):
        raise InputError(f"on_error: expected 'stop' or 'skip', found {on_error!r}; choose one.")
    with ThreadPoolExecutor(threads) as pool:
        progress = tqdm(pool.map(broken, paths), total=len(paths), desc="check images", unit="image", mininterval=1)
        found = {path: reason for path, reason in zip(paths, progress, strict=True) if reason}
    if found and on_error == "stop":
        path, reason = next(iter(found.items()))
        raise InputError(
            f"{path}: expected an image, found {reason}; {len(found)} of {len(paths)} images can't be read: mend them, "
            "or set on_error: skip to leave them out."
        )
    return found


def finish(dataset: Dataset, check_images: bool = True, on_error: str = "stop", threads: int = 2) -> Dataset:
    """The last step of every `load`: check the tables, decode the images, leave out and record broken ones, and count
    what stands in several splits."""
    from ngw.data._repeats import count

    dataset.check()
    if not check_images:
        count(dataset, images=False)
        return dataset
    skipped = verify_images(dataset.images["path"], on_error, threads)
    rest = dataset.without(skipped)
    for split in dict.fromkeys(dataset.images["split"]):
        if split not in rest.images["split"]:
            raise InputError(
                f"{next(iter(skipped))}: no image of split {split!r} can be read; check the images' folder."
            )
    rest.record["skipped_images"] = [{"path": path, "reason": reason} for path, reason in skipped.items()]
    count(rest, images=True, threads=threads)
    return rest


def check_columns(file: str | os.PathLike, found: Sequence[str], wanted: Iterable[str]) -> None:
    """Raise an `InputError` unless a table's first line names all columns that are wanted, and none twice."""
    for name in wanted:
        if name not in found:
            known = ", ".join(found)
            raise InputError(
                f"{file}: expected a column {name!r}, found {known}; name it in line 1.{nearest(name, found)}"
            )
    twice = [name for name, times in Counter(found).items() if name and times > 1]
    if twice:
        raise InputError(f"{file}: expected each column once, found {twice[0]!r} again in line 1; take one out.")


def check(spec: Mapping[str, Any]) -> ModuleType:
    """The module of a data set's config entry, if its kind exists, takes its options and lacks none.

    A kind that has a `write` makes its own files, and needs no `root`.
    """
    kind, options = entry(spec)
    if kind not in kinds(sys.modules[__name__]):
        raise InputError(f"data set kind {kind!r} does not exist.{did_you_mean(kind, kinds(sys.modules[__name__]))}")
    module = importlib.import_module(f"{__name__}.{kind.replace('-', '_')}")
    if not hasattr(module, "load"):
        raise InputError(f"{module.__file__}: a data set kind's file defines `load`, this one doesn't.")
    accepted = dict(inspect.signature(module.load).parameters)
    if hasattr(module, "write"):
        accepted = dict(inspect.signature(module.write).parameters) | accepted
        options.setdefault("root", "")
    for name in options:
        if name not in accepted:
            raise InputError(f"data set kind {kind!r} has no option {name!r}.{did_you_mean(name, accepted)}")
        _check_option(module, name, options[name], accepted[name].annotation)
    missing = [name for name, p in accepted.items() if p.default is p.empty and name not in options]
    if missing:
        raise InputError(
            f"data set kind {kind!r}: expected the option {missing[0]!r}, found none; add it to the config."
        )
    return module


def _check_option(module: ModuleType, name: str, value: Any, annotation: Any) -> None:
    """An option has a value that it can have; a kind's `check_<option>` says more of its own."""
    where = f"data set kind {module.__name__.rpartition('.')[2].replace('_', '-')!r}: {name}"
    if hasattr(module, f"check_{name}") and value is not None:
        getattr(module, f"check_{name}")(value)
    check_type(where, value, annotation)
    if name in COUNTS and value is not None and value < 1:
        raise InputError(f"{where}: expected 1 or more, found {value}; raise it.")
    if name in CHOICES and value not in CHOICES[name]:
        wanted = " or ".join(map(repr, CHOICES[name]))
        raise InputError(f"{where}: expected {wanted}, found {value!r}; choose one.")


def sources(spec: Mapping[str, Any]) -> list[str]:
    """What a config entry's data lie in, outside of what the kind makes itself: folders, files, `package:<name>`."""
    module, options = check(spec), {name: value for name, value in spec.items() if name != "kind"}
    if hasattr(module, "PACKAGES") and options.get("root") is None:
        return [f"package:{name}" for name in module.PACKAGES]
    values = [
        value for option in options.values() for value in (option.values() if isinstance(option, dict) else [option])
    ]
    further = [value.partition("{")[0] for value in values if isinstance(value, str) and os.path.isabs(value)]
    return [str(options["root"]), *(path if os.path.exists(path) else os.path.dirname(path) for path in further)]


def load(kind: str, **options) -> Dataset:
    """Load a data set by its kind, the name of a file in this folder; unknown kinds and options suggest the nearest."""
    return check({"kind": kind, **options}).load(**options)


def prepare(spec: Mapping[str, Any], root: str | os.PathLike) -> Dataset:
    """A data set from its config entry. A kind that has a `write` first makes its own files under `root`."""
    module = check(spec)
    options = {name: value for name, value in spec.items() if name != "kind"}
    if hasattr(module, "write"):
        own = [name for name in inspect.signature(module.write).parameters if name in options]
        module.write(root, **{name: options.pop(name) for name in own})
        options["root"] = root
    return module.load(**options)
