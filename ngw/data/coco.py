"""COCO captions: Karpathy's splits (dataset_coco.json, 113,287 / 5,000 / 5,000) or the official files, one a split."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ngw.data import SPLITS, Dataset, finish, karpathy, table
from ngw.data._files import image_path, present, read_json, take_id, take_list, take_text
from ngw.errors import InputError, did_you_mean

HOW = (
    "get http://images.cocodataset.org/annotations/annotations_trainval2014.zip (or 2017), of the subsets' year, and "
    "unpack it below root; the images are http://images.cocodataset.org/zips/SUBSET.zip."
)


def read_split(file: str | os.PathLike, images: str | os.PathLike, split: str) -> tuple[list[tuple], list[tuple]]:
    """The image rows and the caption rows of an official caption file.

    pycocotools isn't used: its index silently keeps one of two entries with the same id, and its error for a missing
    field names neither file nor entry.
    """
    content = read_json(file)
    image_rows, caption_rows = [], []
    for n, entry in enumerate(take_list(content, "images", str(file))):
        where = f"{file}: image {n}"
        path = image_path(images, take_text(entry, "file_name", where), where)
        image_rows.append((take_id(entry, "id", where), split, path))
    for n, entry in enumerate(take_list(content, "annotations", str(file))):
        where = f"{file}: annotation {n}"
        ids = take_id(entry, "id", where), take_id(entry, "image_id", where)
        caption_rows.append((*ids, split, take_text(entry, "caption", where)))
    return image_rows, caption_rows


def read_official(root: Path, subsets: Mapping[str, str], images: Path, captions_per_image: int | None) -> Dataset:
    """The tables of the official files root/annotations/captions_{subset}.json, unchecked."""
    image_rows, caption_rows, files = [], [], []
    for split in subsets:
        if split not in SPLITS:
            raise InputError(f"coco subsets: split {split!r} is unknown.{did_you_mean(split, SPLITS)}")
    present((root / "annotations" / f"captions_{subset}.json" for subset in subsets.values()), HOW)
    for split, subset in subsets.items():
        files.append(root / "annotations" / f"captions_{subset}.json")
        more_images, more_captions = read_split(files[-1], images / subset, split)
        image_rows += more_images
        caption_rows += more_captions
    caption_rows, record = karpathy.first_captions(caption_rows, captions_per_image)
    record["numbering"] = "COCO"
    source = ", ".join(map(str, files))
    return Dataset(table("images", image_rows), table("captions", caption_rows), source=source, record=record)


def load(
    root: str | os.PathLike,
    file: str = "dataset_coco.json",
    images: str = "",
    subsets: Mapping[str, str] | None = None,
    restval: str = "train",
    captions_per_image: int | None = 5,
    check_images: bool = True,
    on_error: str = "stop",
    threads: int = 2,
) -> Dataset:
    """Read COCO captions; options as in `karpathy.load`.

    subsets: e.g. {"train": "train2017", "val": "val2017"}; if given, the official files
    annotations/captions_{subset}.json are read instead of Karpathy's split file, with images below {images}/{subset}.
    """
    root = Path(root)
    if subsets is None:
        dataset = karpathy.read(root / file, root / images, restval, captions_per_image)
    else:
        dataset = read_official(root, subsets, root / images, captions_per_image)
    return finish(dataset, check_images, on_error, threads)
