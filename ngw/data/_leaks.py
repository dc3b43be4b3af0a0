"""Leaks between tasks: images that one task trains on and another holds out.

Two tasks that share images must share their splits too, by image id; otherwise one tests on the other's training
images. The well-known case: retrieval trains on Karpathy's `restval` images, which come from COCO's val2014, and so do
the images of VQA v2's validation questions. Image ids are compared, so both data sets must number their images alike;
their records name the numbering (COCO's own, for COCO and VQA v2).
"""

from __future__ import annotations

from pathlib import Path

from ngw import io
from ngw.data import COLUMNS, Dataset, Table
from ngw.errors import InputError

LEAKY = (("train", "val"), ("train", "test"), ("val", "train"), ("test", "train"))


def leaks(a: Table, b: Table) -> dict[tuple[str, str], list[int]]:
    """The images that are train in one table and val or test in the other.

    a, b: tables with the columns image_id and split, of images, captions or questions.
    Returns {(split in a, split in b): image ids in order}, without pairs of splits that share none.
    """
    of_a, of_b = images_of(a), images_of(b)
    shared = {(s, t): sorted(of_a.get(s, set()) & of_b.get(t, set())) for s, t in LEAKY}
    return {splits: ids for splits, ids in shared.items() if ids}


def images_of(columns: Table) -> dict[str, set[int]]:
    """The image ids of every split."""
    images: dict[str, set[int]] = {}
    for image_id, split in zip(columns["image_id"], columns["split"], strict=True):
        images.setdefault(split, set()).add(image_id)
    return images


def check_tables(a: Path, b: Path) -> None:
    """Call `refuse_leaks` on two folders of tables, if their records name the same numbering of images."""
    numbering = {io.read_record(folder / "record.json").get("numbering") for folder in (a, b)}
    if len(numbering) > 1 or None in numbering:
        return
    columns = COLUMNS["images"]
    refuse_leaks(*(Dataset(io.read_table(f / "images.parquet", columns), source=str(f)) for f in (a, b)))


def refuse_leaks(a: Dataset, b: Dataset) -> None:
    """Raise an `InputError` with the first leaking image and their number, if images leak between two data sets."""
    shared = leaks(a.images, b.images)
    if shared:
        (mine, other), ids = next(iter(shared.items()))
        raise InputError(
            f"{a.source}: image {ids[0]}: expected splits that share no image across tasks, found it in split {mine!r} "
            f"here and in {other!r} of {b.source} ({sum(map(len, shared.values()))} such images); leave them out of "
            "train (for Karpathy's COCO beside VQA v2: restval: drop)."
        )
