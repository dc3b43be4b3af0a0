"""Counts of what several splits share: images of the same bytes, equal captions, questions about one image."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ngw.data.base import SPLITS, Dataset

END = 4096  # last bytes, which differ for most files of one size
SAME = {"images": "the bytes of an image", "captions": "the words of a caption", "questions": "the image of a question"}
MUCH = 0.1  # warn above this share of captions that an earlier split has; COCO's val2017 has 0.01, scenes 0.006


def repeats(keys: Sequence[Hashable], splits: Sequence[str]) -> dict[str, int]:
    """How many items of a split have the key of an item in an earlier split: {"train/test": 3}, without zeros.

    keys, splits: one for each item.
    """
    times: Counter[str] = Counter()
    owners = _splits_of(keys, splits)
    for key, split in zip(keys, splits, strict=True):
        times.update(f"{other}/{split}" for other in SPLITS[: SPLITS.index(split)] if other in owners[key])
    return dict(sorted(times.items()))


def _splits_of(keys: Sequence[Hashable], splits: Sequence[str]) -> dict[Hashable, set[str]]:
    """The splits that each key occurs in."""
    owners: dict[Hashable, set[str]] = defaultdict(set)
    for key, split in zip(keys, splits, strict=True):
        owners[key].add(split)
    return owners


def contents(paths: Sequence[str], splits: Sequence[str], threads: int = 2) -> list[tuple]:
    """A key of each file; files of different splits have equal keys exactly if their bytes are equal.

    A file is read only as far as needed: not at all if no other split has a file of its size, and only its end if no
    such file ends alike.
    """
    keys: list[tuple] = [()] * len(paths)
    open_ = list(range(len(paths)))
    with ThreadPoolExecutor(threads) as pool:
        for look in (os.path.getsize, _end, _digest):
            for i, value in zip(open_, pool.map(look, [paths[i] for i in open_]), strict=True):
                keys[i] = (*keys[i], value)
            owners = _splits_of([keys[i] for i in open_], [splits[i] for i in open_])
            open_ = [i for i in open_ if len(owners[keys[i]]) > 1]
    return keys


def _end(path: str) -> bytes:
    """A digest of a file's last bytes."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - END))
        return hashlib.blake2b(file.read(), digest_size=16).digest()


def _digest(path: str) -> bytes:
    """A digest of a file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()


def count(dataset: Dataset, images: bool, threads: int = 2) -> None:
    """Record what a data set's splits share, and warn of it on standard error, one line a table.

    images: whether to compare the image files, which must be readable then.
    """
    tables: dict[str, Sequence] = {"captions": dataset.captions["text"]} if dataset.captions["text"] else {}
    if dataset.record.get("shared_images") == "keep":
        tables["questions"] = dataset.questions["image_id"]
    if images:
        tables["images"] = contents(dataset.images["path"], dataset.images["split"], threads)
    dataset.record["repeated"] = {}
    for name, keys in tables.items():
        splits = getattr(dataset, name)["split"]
        repeated = dataset.record["repeated"][name] = repeats(keys, splits)
        sizes = Counter(splits)
        least = MUCH if name == "captions" else 0
        shares = [
            f"{n} of {sizes[p.split('/')[1]]} ({p})" for p, n in repeated.items() if n > least * sizes[p.split("/")[1]]
        ]
        if shares:
            print(
                f"{dataset.source}: {name} with {SAME[name]} of an earlier split: {', '.join(shares)}; a test on "
                "training items says little, so put each item into one split.",
                file=sys.stderr,
            )
