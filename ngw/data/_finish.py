"""The last step of every reader: decode the images, refuse or leave out broken ones, count repeated items."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from ngw.data._repeats import count
from ngw.data.base import Dataset
from ngw.errors import InputError

Table = dict[str, list]


def broken(path: str) -> str:
    """Why an image can't be read, or "" if `ngw.io.images` reads it."""
    from PIL import Image

    from ngw.io import images as _images

    try:
        if not os.path.getsize(path):
            return "a file of zero bytes"
        with Image.open(path) as image:
            _images.rgb(image)
    except FileNotFoundError:
        return "no file"
    except (*_images.BROKEN, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno:  # an error of the system, not of Pillow
            return f"a file that can't be read ({error.strerror})"
        return f"a file that can't be decoded ({error})"
    return ""


def verify_images(paths: Sequence[str], on_error: str = "stop", threads: int = 2) -> dict[str, str]:
    """Decode every image once; returns {path: reason} of those that can't be read.

    on_error: "stop" raises an `InputError` that names the first broken file and their number; "skip" doesn't.
    """
    if on_error not in ("stop", "skip"):
        raise InputError(f"on_error: expected 'stop' or 'skip', found {on_error!r}; choose one.")
    with ThreadPoolExecutor(threads) as pool:
        progress = tqdm(pool.map(broken, paths), total=len(paths), desc="check images", unit="image", mininterval=1)
        faults = {path: reason for path, reason in zip(paths, progress, strict=True) if reason}
    if faults and on_error == "stop":
        path, reason = next(iter(faults.items()))
        raise InputError(
            f"{path}: expected an image, found {reason}; {len(faults)} of {len(paths)} images can't be read: mend "
            "them, or set on_error: skip to leave them out."
        )
    return faults


def finish(dataset: Dataset, check_images: bool = True, on_error: str = "stop", threads: int = 2) -> Dataset:
    """The last step of every `load`: check the tables, decode the images, leave out and record broken ones, and count
    the items that several splits share."""
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
    rest.check()  # a class may have lost all its images
    rest.record["skipped_images"] = [{"path": path, "reason": reason} for path, reason in skipped.items()]
    count(rest, images=True, threads=threads)
    return rest
