"""Image files as encoders see them: any mode as upright RGB, and the preprocessing of Hugging Face's files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from ngw.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


def read(path: str | os.PathLike) -> Image:
    """An image file as RGB: turned as its EXIF entry says, other modes converted, transparency over white."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path}: expected a readable image, found {error}; replace it, or set on_error: skip."
        ) from None


class Preprocessor:
    """What preprocessor_config.json says, without torchvision: resize by Pillow, centre crop, mean and deviation.

    Checked against the layouts of ViTImageProcessor (height and width), BitImageProcessor (DINOv2) and
    CLIPImageProcessor (shortest edge, then a crop).
    """

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        from PIL import Image

        try:
            self.size: Any = config["size"] if config.get("do_resize", True) else None
            crop = config.get("crop_size") if config.get("do_center_crop", "crop_size" in config) else None
            self.crop = None if crop is None else _pair(crop)
            self.resample = Image.Resampling(config.get("resample", 3))
            self.factor = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
            normalise = config.get("do_normalize", True)
            self.mean = np.array(config["image_mean"] if normalise else [0, 0, 0], np.float32)
            self.deviation = np.array(config["image_std"] if normalise else [1, 1, 1], np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: expected an image processor's settings, found no {error}; mend it.") from None

    def side(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        return self.crop or _pair(self.size)

    def view(self, path: str) -> Image:
        """What the network sees of an image file, as a picture."""
        image = read(path)
        if self.size is not None:
            image = image.resize(self._resized(image.width, image.height), self.resample)
        if self.crop is None:
            return image
        height, width = self.crop
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after the resize."""
        edge = self.size if isinstance(self.size, int) else self.size.get("shortest_edge")
        if edge is None:
            return self.size["width"], self.size["height"]
        short = min(width, height)
        return int(edge * width / short), int(edge * height / short)  # whole pixels downwards, as transformers

    def pixels(self, path: str) -> np.ndarray:
        """One image file as [3, height, width] float32."""
        pixels = np.asarray(self.view(path), np.float32) * np.float32(self.factor)
        return ((pixels - self.mean) / self.deviation).transpose(2, 0, 1)


def stack(pixels: Callable[[str], np.ndarray], paths: Sequence[str]) -> np.ndarray:
    """Image files, each by `pixels`, as one array [n, 3, h, w]: in as many threads as this process may use cores.

    Pillow lets other threads run while it decodes and resizes.
    """
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return np.stack(list(pool.map(pixels, paths)))


def _pair(size: Any) -> tuple[int, int]:
    """Height and width, as preprocessor files write them: a number, {shortest_edge: ..} or {height: .., width: ..}."""
    if isinstance(size, int):
        return size, size
    edge = size.get("shortest_edge")
    return (edge, edge) if edge is not None else (size["height"], size["width"])
