"""Pictures as files and as a diffusion decoder's codes: pixels, or the latents of a frozen autoencoder."""

from __future__ import annotations

import io as memory
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ngw import io
from ngw.device import device
from ngw.encoders import _huggingface
from ngw.errors import InputError
from ngw.io import digests
from ngw.io.images import read as read_image

if TYPE_CHECKING:
    from PIL.Image import Image

EVALUATED = 256  # pixels of a side, for comparisons of pictures


def square(path: str | os.PathLike, size: int) -> Image:
    """An image file in RGB: its largest central square, at size x size pixels by Pillow's bicubic."""
    from PIL import Image

    image = read_image(path)
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))


class Codec:
    """Plain pixels in [-1, 1] as codes [n, 3, size, size]."""

    def __init__(self, size: int) -> None:
        self.size, self.shape = size, (3, size, size)

    def pixels(self, paths: Sequence[str]) -> Tensor:
        """Image files, float32 [n, 3, size, size] in [-1, 1]."""
        rows = np.stack([np.asarray(square(path, self.size)) for path in paths])
        return torch.from_numpy(rows).permute(0, 3, 1, 2).float() / 127.5 - 1

    def encode(self, paths: Sequence[str]) -> Tensor:
        """The codes of image files."""
        return self.pixels(paths)

    def clip(self, codes: Tensor) -> Tensor:
        """Codes, clipped to their range."""
        return codes.clamp(-1, 1)

    def decode(self, codes: Tensor) -> np.ndarray:
        """The pictures of codes, uint8 [n, size, size, 3]."""
        return ((codes.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


class Latents(Codec):
    """The latents of a frozen autoencoder of `diffusers` (AutoencoderKL, AutoencoderTiny), scaled by its config."""

    def __init__(self, size: int, folder: str) -> None:
        super().__init__(size)
        import diffusers

        if not (Path(folder) / "config.json").is_file():
            raise InputError(f"{folder}: expected an autoencoder's folder with config.json, found none; mend `vae`.")
        name = str(io.read_json(Path(folder) / "config.json").get("_class_name"))
        if name not in ("AutoencoderKL", "AutoencoderTiny"):
            raise InputError(f"{folder}: expected AutoencoderKL or AutoencoderTiny, found {name}; name another `vae`.")
        network = _huggingface.pretrained(getattr(diffusers, name), Path(folder))
        self.network = network.eval().requires_grad_(False).to(device())
        self.scale = self.network.config.scaling_factor
        self.shape = tuple(self._latents(torch.zeros(1, 3, size, size)).shape[1:])

    @torch.no_grad()
    def _latents(self, pixels: Tensor) -> Tensor:
        """The mean of the posterior, if there is one."""
        coded = self.network.encode(pixels.to(self.network.device))
        return (coded.latent_dist.mean if hasattr(coded, "latent_dist") else coded.latents).cpu()

    def encode(self, paths: Sequence[str]) -> Tensor:
        """The codes of image files, 16 at a time."""
        parts = (self.pixels(paths[k : k + 16]) for k in range(0, len(paths), 16))
        return torch.cat([self._latents(part) for part in parts]) * self.scale

    def clip(self, codes: Tensor) -> Tensor:
        """Latents have no bounds."""
        return codes

    @torch.no_grad()
    def decode(self, codes: Tensor) -> np.ndarray:
        """The pictures of codes, uint8 [n, size, size, 3]."""
        parts = [self.network.decode(part.to(self.network.device)).sample for part in (codes / self.scale).split(16)]
        return super().decode(torch.cat(parts))


def codec(size: int, vae: str | None) -> Codec:
    """The codec of a decoder: an autoencoder's folder, or None for pixels."""
    return Codec(size) if vae is None else Latents(size, vae)


def write(path: str | os.PathLike, drawn: Mapping[int, np.ndarray]) -> None:
    """Pictures [h, w, 3] by id as one zip of PNG files, `{id}.png`; the same pictures give the same bytes."""
    from PIL import Image

    with io.atomic(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for number, picture in drawn.items():
                png = memory.BytesIO()
                Image.fromarray(picture).save(png, "PNG")
                archive.writestr(zipfile.ZipInfo(f"{int(number)}.png"), png.getvalue())
            archive.comment = digests.MARK + digests.BLANK.encode()
        digests.seal(temporary)


def read(path: str | os.PathLike) -> dict[int, memory.BytesIO]:
    """The PNG files of `write`'s zip by id, open as files in memory; a damaged archive is an `InputError`."""
    digests.check(path, "a zip of pictures", "no such zip; run the generate-images stage")
    with zipfile.ZipFile(path) as archive:
        return {int(Path(name).stem): memory.BytesIO(archive.read(name)) for name in archive.namelist()}


def prepared(files: Sequence, drawn: int = EVALUATED) -> list[Image]:
    """Images (paths or open files) prepared for the encoders that compare them: square, `EVALUATED` pixels.

    drawn: the pixels of an intermediate size, if they are fewer.
    """
    pictures = [square(file, min(drawn, EVALUATED)) for file in files]
    if drawn >= EVALUATED:
        return pictures
    return [picture.resize((EVALUATED, EVALUATED), resample=3) for picture in pictures]  # bicubic
