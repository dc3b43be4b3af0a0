"""Karpathy's split files (dataset_coco.json, dataset_flickr30k.json, ...): images, sentences and splits in one JSON.

Karpathy and Fei-Fei, Deep Visual-Semantic Alignments, CVPR 2015; https://cs.stanford.edu/people/karpathy/deepimagesent
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from ngw.data import SPLITS, Dataset, finish, table
from ngw.data._files import image_path, present, read_json, take, take_id, take_list, take_text
from ngw.errors import InputError, did_you_mean

HOW = (
    "get Karpathy's split files from https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip, or "
    "mend root and file in the config."
)
PUBLISHED = {  # images, restval counted as train
    "dataset_coco.json": {"train": 113_287, "val": 5_000, "test": 5_000},
    "dataset_flickr30k.json": {"train": 29_000, "val": 1_014, "test": 1_000},
}


def first_captions(rows: list[tuple], per_image: int | None) -> tuple[list[tuple], dict]:
    """The first captions of each image, and a record of the choice. rows: (caption_id, image_id, split, text)."""
    if per_image is None:
        return rows, {"captions_per_image": None}
    if not isinstance(per_image, int) or per_image < 1:
        raise InputError(f"captions_per_image: expected a number from 1 on, or null, found {per_image!r}; mend it.")
    seen: Counter[int] = Counter()
    dropped: Counter[int] = Counter()
    kept = []
    for row in rows:
        seen[row[1]] += 1
        if seen[row[1]] <= per_image:
            kept.append(row)
        else:
            dropped[row[2]] += 1
    fewer = sum(number < per_image for number in seen.values())
    return kept, {"captions_per_image": per_image, "captions_left_out": dict(dropped), "images_with_fewer": fewer}


def split_name(entry: dict, restval: str, where: str) -> str:
    """train, val or test, or "drop" for restval images to leave out."""
    split = take(entry, "split", where)
    if split == "restval":
        return restval
    if split not in SPLITS:
        raise InputError(f"{where}: split {split!r} is unknown.{did_you_mean(str(split), [*SPLITS, 'restval'])}")
    return split


def read(
    file: str | os.PathLike, images: str | os.PathLike, restval: str = "train", captions_per_image: int | None = 5
) -> Dataset:
    """The tables of a split file, unchecked. images: the folder that holds filepath/filename, or filename."""
    if restval not in ("train", "drop"):
        raise InputError(f"restval: expected 'train' or 'drop', found {restval!r}; choose one.")
    present([file], HOW)
    image_rows, caption_rows, dropped, numbered = [], [], 0, set()
    for position, entry in enumerate(take_list(read_json(file), "images", str(file))):
        where = f"{file}: image {position}"
        split = split_name(entry, restval, where)
        if split == "drop":
            dropped += 1
            continue
        image_id = take_id(entry, "cocoid" if "cocoid" in entry else "imgid", where)
        folder = take_text(entry, "filepath", where) if "filepath" in entry else ""
        path = image_path(images, os.path.join(folder, take_text(entry, "filename", where)), where)
        numbered.add("cocoid" in entry)
        image_rows.append((image_id, split, path))
        for sentence in take_list(entry, "sentences", where):
            caption_rows.append(
                (take_id(sentence, "sentid", where), image_id, split, take_text(sentence, "raw", where))
            )
    caption_rows, record = first_captions(caption_rows, captions_per_image)
    record |= {"restval": restval, "restval_images_left_out": dropped}
    record |= {"numbering": "COCO"} if numbered == {True} else {}
    published, sizes = PUBLISHED.get(Path(file).name), Counter(split for _, split, _ in image_rows)
    if published is not None and restval == "train":
        record["as_published"] = dict(sizes) == published
        if not record["as_published"]:
            print(f"{file}: expected the published {published} images, found {dict(sizes)}; is it the whole file?")
    return Dataset(table("images", image_rows), table("captions", caption_rows), source=str(file), record=record)


def load(
    root: str | os.PathLike,
    file: str = "dataset.json",
    images: str = "",
    restval: str = "train",
    captions_per_image: int | None = 5,
    check_images: bool = True,
    on_error: str = "stop",
    threads: int = 2,
) -> Dataset:
    """Any data set in Karpathy's layout.

    root: its folder; file: the split file; images: the images' folder, both below root or absolute.
    restval: "train" (usual for COCO) or "drop" (these images are among VQA v2's validation images).
    captions_per_image: use at most so many captions of an image, the first ones (COCO's test split has 25,010 for
    5,000 images). check_images: decode each image first; without images, features must come from elsewhere.
    on_error: "stop" or "skip".
    """
    root = Path(root)
    return finish(read(root / file, root / images, restval, captions_per_image), check_images, on_error, threads)
