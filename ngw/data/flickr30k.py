"""Flickr30k: Karpathy's splits (29,000 / 1,014 / 1,000) from dataset_flickr30k.json, or the token file and split lists.

The official archive (Young et al., From image descriptions to visual denotations, TACL 2014) has
results_20130124.token, a line a caption: `1000092795.jpg#0<tab>Two young guys ...`. Split lists name an image a line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ngw.data import SPLITS, Dataset, finish, karpathy, table
from ngw.data._files import present, read_text
from ngw.errors import InputError, did_you_mean

HOW = (
    "ask for Flickr30k at https://shannon.cs.illinois.edu/DenotationGraph and unpack it below root, or take Karpathy's "
    "split file instead (leave token out)."
)


def load(
    root: str | os.PathLike,
    file: str = "dataset_flickr30k.json",
    images: str = "flickr30k-images",
    token: str | None = None,
    splits: Mapping[str, str] | None = None,
    captions_per_image: int | None = 5,
    check_images: bool = True,
    on_error: str = "stop",
    threads: int = 2,
) -> Dataset:
    """Read Flickr30k; options as in `karpathy.load`.

    token: results_20130124.token, read instead of Karpathy's file.  splits, needed with token: lists of image names,
    with or without `.jpg`, such as {train: train.txt, test: test.txt}.  All files are below root.
    """
    root = Path(root)
    if token is None:
        dataset = karpathy.read(root / file, root / images, captions_per_image=captions_per_image)
    elif not splits:
        raise InputError(
            f"{root / token}: expected splits, a list of images for each, found none; add splits to the config entry."
        )
    else:
        lists = {split: root / name for split, name in splits.items()}
        present([root / token, *lists.values()], HOW)
        dataset = read_tokens(root / token, root / images, lists, captions_per_image)
    return finish(dataset, check_images, on_error, threads)


def read_tokens(file: Path, images: Path, lists: Mapping[str, Path], captions_per_image: int | None = 5) -> Dataset:
    """The tables of a token file, unchecked; image ids are the images' numbers, caption ids 10 times that plus place.

    Captions of images in no list are left out, and so are repeated lines; the record counts both.  Two different texts
    for one caption are an error.
    """
    split_of = _splits(lists)
    captions: dict[tuple[str, int], str] = {}
    elsewhere, again = set(), 0
    for number, name, place, text in _lines(file):
        if name not in split_of:
            elsewhere.add(name)
        elif (name, place) not in captions:
            captions[name, place] = text
        elif captions[name, place] == text:
            again += 1
        else:
            raise InputError(
                f"{file}: line {number}: expected caption {place} of {name} once, found another text; keep one."
            )
    caption_rows = [
        (10 * int(name) + place, int(name), split_of[name], text) for (name, place), text in sorted(captions.items())
    ]
    caption_rows, record = karpathy.first_captions(caption_rows, captions_per_image)
    record |= {"images_in_no_list": len(elsewhere), "repeated_lines": again}
    image_rows = [(int(name), split, str(images / f"{name}.jpg")) for name, split in split_of.items()]
    return Dataset(table("images", image_rows), table("captions", caption_rows), source=str(file), record=record)


def _lines(file: Path) -> Iterator[tuple[int, str, int, str]]:
    """(line, image name without its ending, caption's place, text) of a token file."""
    for number, line in enumerate(read_text(file).splitlines(), 1):
        head, tab, text = line.partition("\t")
        name, mark, place = head.partition("#")
        name = name.removesuffix(".jpg")
        if not (tab and mark and name.isdecimal() and place.isdecimal() and len(place) == 1):
            raise InputError(
                f"{file}: line {number}: expected NUMBER.jpg#PLACE, a tab and a caption, found {line!r:.80}; mend it."
            )
        yield number, name, int(place), text.strip()


def _splits(lists: Mapping[str, Path]) -> dict[str, str]:
    """{image name: split} of the lists; an image in two of them, or twice in one, is an error."""
    split_of: dict[str, str] = {}
    for split, file in lists.items():
        if split not in SPLITS:
            raise InputError(f"flickr30k splits: split {split!r} is unknown.{did_you_mean(split, SPLITS)}")
        for number, line in enumerate(read_text(file).splitlines(), 1):
            name = line.strip().removesuffix(".jpg")
            if not name:
                continue
            if not name.isdecimal():
                raise InputError(f"{file}: line {number}: expected an image's number, found {line!r:.80}; mend it.")
            if name in split_of:
                raise InputError(
                    f"{file}: line {number}: expected image {name} in one list, once, found it in {split_of[name]!r} "
                    "already; take one out."
                )
            split_of[name] = split
    return split_of
