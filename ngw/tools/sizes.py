"""The number of images in each split of a data set: from its record, its config entry, or its publication."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from ngw import io


class Size(NamedTuple):
    """Images of each split."""

    train: int
    val: int
    test: int

    @classmethod
    def of(cls, images: Mapping[str, int]) -> Self:
        """From a record's or an entry's numbers; a missing split has none."""
        return cls(*(images.get(split, 0) for split in cls._fields))


OFFICIAL = {  # by the name of a data set, or by its kind
    "coco": Size(113_287, 5_000, 5_000),
    "flickr30k": Size(29_000, 1_014, 1_000),
    "vqa2": Size(82_783, 40_504, 36_807),  # the test images are test-dev's
    "imagenet": Size(1_281_167, 0, 50_000),
    "imagenet-sketch": Size(0, 0, 50_889),
    "eurosat": Size(0, 0, 27_000),
    "cifar": Size(50_000, 0, 10_000),
    "easy-vqa": Size(4_000, 0, 1_000),
}
OTHER = Size(2_000, 500, 1_000)  # a data set of unknown size


def size(name: str, spec: Mapping[str, Any]) -> Size:
    """The number of images of a data set, by its config entry."""
    if spec.get("sizes"):
        return Size.of(spec["sizes"])
    if spec.get("restval") == "drop":
        return OFFICIAL["coco"]._replace(train=OFFICIAL["vqa2"].train)
    return OFFICIAL.get(name) or OFFICIAL.get(spec["kind"], OTHER)


def sizes(datasets: Mapping[str, Mapping[str, Any]], root: Path) -> dict[str, Size]:
    """The number of images of each data set: from its record if the project has made its tables already."""
    found = {}
    for name, spec in datasets.items():
        record = root / f"results/data/{name}/record.json"
        found[name] = Size.of(io.read_record(record)["images"]) if record.is_file() else size(name, spec)
    return found
