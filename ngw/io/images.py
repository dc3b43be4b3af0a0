"""Image files of any mode as upright RGB, and the preprocessing that Hugging Face's files describe."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ngw.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


# Errors of Pillow's decoders for a broken file (RuntimeError: of AVIF, and of formats that Pillow supports in part;
# TypeError, struct.error: of tags of another type), in addition to Image.DecompressionBombError.
BROKEN = (OSError, SyntaxError, ValueError, RuntimeError, TypeError, struct.error)
TURNS = {  # what EXIF's orientations ask for, by the names of Image.Transpose
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE",
    8: "ROTATE_90",
}  # fmt: skip


def read(source: str | os.PathLike | Image) -> Image:
    """An image file, or a Pillow image, as RGB (`rgb`); an `InputError` names a file that can't be read."""
    from PIL import Image

    try:
        if isinstance(source, Image.Image):
            return rgb(source)
        with Image.open(source) as file:
            return rgb(file)
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise InputError(
            f"{source}: expected a readable image, found {error}; replace it, or set on_error: skip."
        ) from None


def rgb(file: Image) -> Image:
    """An opened image as RGB: rotated by its EXIF entry, other modes converted, transparency over white.

    Black is 0; white is 255 in 8 bits, 65535 in 16 bits (4095 in a TIFF's 12), 1 in floats, and is scaled to 255.

    Raises:
        ValueError: 32-bit whole numbers, whose white is unknown, or values beyond black and white.
    """
    from PIL import Image

    image = _upright(file)
    if _deep(image):
        image = _eight_bits(image, file)
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _deep(image: Image) -> bool:
    """Whether an image has one channel of more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _upright(file: Image) -> Image:
    """An opened image, rotated by its EXIF orientation; EXIF that can't be read means that it is upright.

    ImageOps.exif_transpose also writes the EXIF anew, which fails if any other field is odd.
    """
    from PIL import ExifTags, Image

    file.load()
    try:
        orientation = file.getexif().get(ExifTags.Base.Orientation)
    except BROKEN:
        orientation = None
    return file.transpose(Image.Transpose[TURNS[orientation]]) if orientation in TURNS else file


def _eight_bits(image: Image, file: Image) -> Image:
    """A deep image in 8 bits, its transparency kept.  file: the image as opened."""
    from PIL import Image, TiffImagePlugin

    if image.mode == "I" and file.format not in ("PNG", "PPM"):  # Pillow reads 16 bits of those in this mode
        raise ValueError("whole numbers of 32 bits, whose white isn't known: save it with 16 or 8 bits")
    tags = getattr(file, "tag_v2", {})
    white = 1 if image.mode == "F" else 2 ** tags.get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0] - 1
    values = np.asarray(image)
    if not (values.min() >= 0 and values.max() <= white):
        raise ValueError(f"values from {values.min():g} to {values.max():g}, where black is 0 and white {white}")
    shares = values / white
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:  # 0 is white, which Pillow inverts for 8 bits only
        shares = 1 - shares
    grey = Image.fromarray(np.rint(255 * shares).astype(np.uint8))
    transparent = image.info.get("transparency")
    if transparent is not None:
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


class Defaults(NamedTuple):
    """What a processor of transformers takes where its file is silent; number: what a size of one number means."""

    number: str
    resample: int
    crops: bool


SQUARE, EDGE, BILINEAR, BICUBIC = "a square", "the shortest edge", 2, 3
DEFAULTS = {
    "Beit": Defaults(SQUARE, BICUBIC, crops=False),
    "Bit": Defaults(EDGE, BICUBIC, crops=True),
    "Blip": Defaults(SQUARE, BICUBIC, crops=False),
    "CLIP": Defaults(EDGE, BICUBIC, crops=True),
    "ChineseCLIP": Defaults(EDGE, BICUBIC, crops=True),
    "DeiT": Defaults(SQUARE, BICUBIC, crops=True),
    "Siglip": Defaults(EDGE, BICUBIC, crops=False),
    "ViT": Defaults(SQUARE, BILINEAR, crops=False),
}


def _defaults(config: Mapping[str, Any], where: str) -> Defaults:
    """The defaults of a file's processor, by its type in files of today or of old; a file that needs none can lack one.

    Raises:
        InputError: an unknown processor whose file leaves out what a default decides.
    """
    kind = str(config.get("image_processor_type", config.get("feature_extractor_type")))
    known = DEFAULTS.get(re.sub("(ImageProcessor|FeatureExtractor)(Fast|Pil)?$", "", kind))
    if known is not None:
        return known
    if config.get("do_resize", True) and (isinstance(config.get("size"), int) or "resample" not in config):
        names = ", ".join(f"{name}ImageProcessor" for name in DEFAULTS)
        raise InputError(
            f"{where}: expected an image_processor_type among {names}, found {kind}, whose defaults aren't known; "
            "add `resample` (2 bilinear, 3 bicubic), and give `size` as height and width, or as a shortest_edge."
        )
    return Defaults(EDGE, BICUBIC, "crop_size" in config)


class Preprocessor:
    """The steps of a preprocessor_config.json, without torchvision: resize by Pillow, centre crop, mean and deviation.

    Checked against the processors of `DEFAULTS`, in files of today and of old (`size` a number, no `resample`).
    """

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        from PIL import Image

        defaults = _defaults(config, where)
        try:
            self.size: Any = config["size"] if config.get("do_resize", True) else None
            if isinstance(self.size, int) and defaults.number == SQUARE:
                self.size = {"height": self.size, "width": self.size}
            self.crop = _pair(config["crop_size"]) if config.get("do_center_crop", defaults.crops) else None
            self.resample = Image.Resampling(config.get("resample", defaults.resample))
            self.factor = float(config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1)
            normalise = config.get("do_normalize", True)
            self.mean = np.array(config["image_mean"] if normalise else [0, 0, 0], np.float32)
            self.deviation = np.array(config["image_std"] if normalise else [1, 1, 1], np.float32)
            if self.size is not None:
                _pair(self.size)
        except KeyError as error:
            raise InputError(f"{where}: expected an image processor's settings, found no {error}; mend it.") from None
        except (TypeError, ValueError) as error:
            raise InputError(f"{where}: expected an image processor's settings, found {error}; mend it.") from None
        if self.size is None and self.crop is None:
            raise InputError(f"{where}: expected a size or a crop, found neither; mend it.")
        if not self.mean.shape == self.deviation.shape == (3,) or not (self.deviation > 0).all():
            raise InputError(f"{where}: expected image_mean and image_std of three colours, found others; mend it.")

    def side(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return self.crop or _pair(self.size)

    def view(self, path: str) -> Image:
        """An image file as the network sees it, resized and cropped, as a picture."""
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
        return int(edge * width / short), int(edge * height / short)  # rounded down, as in transformers

    def pixels(self, path: str) -> np.ndarray:
        """One image file as [3, height, width] float32."""
        pixels = np.asarray(self.view(path), np.float32) * np.float32(self.factor)
        return ((pixels - self.mean) / self.deviation).transpose(2, 0, 1)


def stack(pixels: Callable[[str], np.ndarray], paths: Sequence[str]) -> np.ndarray:
    """Image files through `pixels`, as one array [n, 3, h, w]: one thread for each core that this process can use.

    Pillow lets other threads run while it decodes and resizes.
    """
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()  # macOS has none
    with ThreadPoolExecutor(own) as pool:
        rows = list(pool.map(pixels, paths))
    odd = next((k for k, row in enumerate(rows) if row.shape != rows[0].shape), None)
    if odd is not None:
        raise InputError(
            f"{paths[odd]}: expected {rows[0].shape[1:]} pixels like {paths[0]}, found {rows[odd].shape[1:]}: the "
            "model's preprocessing fixes one edge only; add do_center_crop and crop_size to preprocessor_config.json, "
            "or write its `size` with height and width."
        )
    return np.stack(rows)


def _pair(size: Any) -> tuple[int, int]:
    """Height and width, as preprocessor files write them: a number, {shortest_edge: ..} or {height: .., width: ..}."""
    edge = size.get("shortest_edge") if isinstance(size, dict) else size
    pair = (edge, edge) if edge is not None else (size["height"], size["width"])
    if not all(isinstance(side, int) and side > 0 for side in pair):
        raise ValueError(f"a size of {size!r}")
    return pair
