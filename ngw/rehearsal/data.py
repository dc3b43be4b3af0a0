"""The data sets of a rehearsal, made in their official layouts at a share of their published sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ngw.rehearsal import content, layouts, networks
from ngw.rehearsal.config import AUTOENCODER, CLIP, FEWEST, GPT2
from ngw.seeds import rng
from ngw.tools.sizes import OFFICIAL

PHOTOGRAPH, IMAGENET, SATELLITE = (640, 480), (500, 375), (64, 64)  # pixels
# The first number of our images in each of COCO's folders, and the published size of restval.
TRAIN2014, VAL2014, TEST2015 = 0, 400_000, 700_000
RESTVAL = 30_504
QUESTIONS = {"train": 443_757, "val": 214_354, "test": 107_394}  # of VQA v2; the test split is test-dev


def part(count: int, share: float) -> int:
    """A share of a number of items, a few at least."""
    return max(FEWEST, round(count * share))


def images_of(share: float) -> dict[str, range]:
    """The image numbers of COCO by Karpathy's splits, and of VQA's test images."""
    train, restval = part(OFFICIAL["vqa2"].train, share), part(RESTVAL, share)
    val, test = part(OFFICIAL["coco"].val, share), part(OFFICIAL["coco"].test, share)
    first = VAL2014 + restval
    return {
        "train": range(TRAIN2014, TRAIN2014 + train),
        "restval": range(VAL2014, first),
        "val": range(first, first + val),
        "test": range(first + val, first + val + test),
        "vqa-test": range(TEST2015, TEST2015 + part(OFFICIAL["vqa2"].test, share)),
    }


def make(folder: Path, datasets: Mapping[str, Mapping[str, Any]], share: float) -> None:
    """Make the files that a rehearsal's data sets read, below a folder, and print their numbers of images."""
    makers = {"coco": coco, "vqa2": vqa2, "flickr30k": flickr30k, "image-folder": classes, "cifar": cifar}
    for name, spec in datasets.items():
        if spec["kind"] in makers:
            print(f"{name}: {makers[spec['kind']](folder, name, spec, share):,} images", flush=True)


def coco(folder: Path, name: str, spec: Mapping[str, Any], share: float) -> int:
    """Karpathy's file and the images."""
    root, numbers = folder / spec["root"], images_of(share)
    splits = [name for name in numbers if name != "vqa-test"]
    rows = chain.from_iterable(content.captioned(numbers[split], split, "coco") for split in splits)
    paths = list(layouts.karpathy(root / "dataset_coco.json", rows, coco=True))
    return _photographs(folder, root / spec.get("images", ""), "coco", paths)


def _photographs(folder: Path, root: Path, name: str, paths: Iterable[str]) -> int:
    """Pictures, with a pool for each folder, so that no two splits of a data set share a file."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(path.rpartition("/")[0].partition("/")[0], []).append(path)
    return sum(
        content.pictures(root, some, PHOTOGRAPH, folder / f"data/pictures/{name}-{group}")
        for group, some in groups.items()
    )


def vqa2(folder: Path, name: str, spec: Mapping[str, Any], share: float) -> int:
    """The questions of each subset, the public answers, and the questions' images."""
    root, numbers = folder / spec["root"], images_of(share)
    val = range(numbers["restval"].start, numbers["test"].stop)
    asked_about = {"train": numbers["train"], "val": val, "test": numbers["vqa-test"]}
    count = 0
    for split, subset in spec.get("subsets", {"train": "train2014", "val": "val2014"}).items():
        images = asked_about[split]
        questions = content.asked(images, max(len(images), round(QUESTIONS[split] * share)), subset)
        layouts.vqa(root, subset, questions, answered=split != "test")
        where = {"train": "train2014", "val": "val2014", "test": "test2015"}[split]
        paths = [layouts.coco_image(number, where) for number in images]
        count += _photographs(folder, root / spec.get("images", ""), "coco", paths)
    return count


def flickr30k(folder: Path, name: str, spec: Mapping[str, Any], share: float) -> int:
    """Karpathy's file and the images, of all splits in one folder."""
    root, first, rows = folder / spec["root"], 1_000_000, []
    for split, published in OFFICIAL["flickr30k"]._asdict().items():
        numbers = range(first, first + part(published, share))
        rows.append(content.captioned(numbers, split, "flickr30k"))
        first = numbers.stop
    paths = list(layouts.karpathy(root / "dataset_flickr30k.json", chain.from_iterable(rows), coco=False))
    return _photographs(folder, root / spec.get("images", "flickr30k-images"), "flickr30k", paths)


def classes(folder: Path, name: str, spec: Mapping[str, Any], share: float) -> int:
    """A folder per class in each split."""
    names = yaml.safe_load(Path(spec["classes"]).read_text(encoding="utf-8"))["names"]
    published = OFFICIAL.get(name, OFFICIAL["cifar"])
    count = 0
    for split, place in spec["splits"].items():
        paths = layouts.class_images(layouts.class_folders(names), part(getattr(published, split), share))
        pool = folder / f"data/pictures/{name}-{split}"
        pixels = SATELLITE if name == "eurosat" else IMAGENET
        count += content.pictures(folder / spec["root"] / place, paths, pixels, pool)
    return count


def cifar(folder: Path, name: str, spec: Mapping[str, Any], share: float) -> int:
    """CIFAR-100's files of the python version, with one image of each class at least."""
    counts = {"train": OFFICIAL["cifar"].train, "test": OFFICIAL["cifar"].test}
    pixels = {
        split: rng(0, "rehearsal", name, split).integers(0, 256, (max(100, part(count, share)), 3072), np.uint8)
        for split, count in counts.items()
    }
    layouts.cifar_100(folder / spec["source"], pixels)
    return sum(map(len, pixels.values()))


def models(folder: Path) -> None:
    """The tiny networks that a rehearsal's config reads."""
    words = [content.word(k) for k in range(content.WORDS)] + list("0123456789a?")
    networks.clip(folder / CLIP, words, size=224, patch=32, length=77)
    networks.gpt2(folder / GPT2, words, length=128)
    networks.autoencoder(folder / AUTOENCODER, halvings=3)
