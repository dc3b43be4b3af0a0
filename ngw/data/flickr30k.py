"""Flickr30k with Karpathy's splits (29,000 / 1,014 / 1,000): dataset_flickr30k.json beside flickr30k-images."""

from __future__ import annotations

import os

from ngw.data import Dataset, karpathy


def load(
    root: str | os.PathLike,
    file: str = "dataset_flickr30k.json",
    images: str = "flickr30k-images",
    captions_per_image: int | None = 5,
    check_images: bool = True,
    on_error: str = "stop",
    threads: int = 2,
) -> Dataset:
    """Read Flickr30k; options as `karpathy.load`'s."""
    return karpathy.load(
        root,
        file,
        images,
        captions_per_image=captions_per_image,
        check_images=check_images,
        on_error=on_error,
        threads=threads,
    )
