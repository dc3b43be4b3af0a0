"""What stands in several splits: images of the same bytes, equal captions, questions about one image; counted."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ngw.data.base import SPLITS, Dataset

END = 4096  # bytes that tell most files of one size apart
SAME = {"images": "the bytes of an image", "captions": "the words of a caption", "questions": "the image of one"}
MUCH = 0.1  # share of captions said in an earlier split too that is warned of; COCO's val2017 has 0.01, scenes 0.006


def repeats(keys: Sequence[Hashable], splits: Sequence[str]) -> dict[str, int]:
    """How many items of a split have the key of one in an earlier split: {"train/test": 3}, none where there are none.

    keys, splits: of each item.
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
    """A key of each file, equal across splits where the bytes are.

    A file is read only as far as it takes: where no other split has one of its size, not at all, and where none ends
    alike, its end alone.
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
    """Put into the data set's record what its splits share, and warn of it in a line each on standard error.

    images: whether the files can be read; else captions alone are compared.
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
                f"{dataset.source}: {name} that have {SAME[name]} of an earlier split: {', '.join(shares)}; a test of "
                "what was trained on says little, so give each to one split.",
                file=sys.stderr,
            )
