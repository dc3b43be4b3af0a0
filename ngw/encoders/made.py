"""Synthetic features of any width, computed from the number in an item: a rehearsal's stand-in for a network."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ngw.encoders.base import Encoder, Encoding
from ngw.options import option

if TYPE_CHECKING:
    from PIL.Image import Image

LATENT = 384  # dimensions of the latent that both sides share
SPECTRUM = np.arange(1, LATENT + 1) ** -0.5  # so that the variance isn't in a few directions
MARKS = 2  # tokens for a text's beginning and end


@dataclass(eq=False)
class Made(Encoder):
    """An image and its texts carry the same number, which gives both sides the same latent; the rest is noise.

    An image's number is the last one in its file's name; a text's number is all of its digits, 17 in `a dog 1 7`.  An
    item without digits has a number from its bytes, and so no partner.  No file is read, except for pictures given as
    objects.
    """

    modality: str = option("vision", among=("vision", "text"))
    width: int = option(768, least=1)
    grid: int = option(16, least=1)  # rows, and columns, of an image's tokens
    words: int = option(64, least=3)  # most tokens of a text
    noise: float = option(0.05, least=0)  # added to features between -1 and 1
    seed: int = option(0, least=0)  # encoders with different seeds differ

    def __post_init__(self) -> None:
        super().__post_init__()
        self.token_width = self.width
        self.n_tokens = self.grid**2 if self.modality == "vision" else self.words
        self.licence, self.training_data = "none: made of numbers", "none"
        self.preprocessing, self.version = "none", f"made {self.seed}"

    @cached_property
    def mixing(self) -> np.ndarray:
        """From a latent to features, [LATENT, width]."""
        return self._rng(0).standard_normal((LATENT, self.width)) * (SPECTRUM / LATENT**0.25)[:, None]

    @cached_property
    def pattern(self) -> np.ndarray:
        """The difference between an item's tokens and its pooled feature, [n_tokens, width], of mean zero."""
        values = self._rng(1).standard_normal((self.n_tokens, self.width), np.float32)
        return values - values.mean(0)

    def _rng(self, *address: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, len(self.modality), *address])

    def count_tokens(self, items: Sequence[str]) -> np.ndarray:
        """A text's words and its two marks; an image's whole grid."""
        if self.modality == "vision":
            return super().count_tokens(items)
        return np.array([min(len(item.split()) + MARKS, self.words) for item in items], np.int64)

    def view(self, item: str) -> Image:
        """The image."""
        from ngw.io.images import read

        return read(item)

    def encode(self, items: Sequence[Any], tokens: bool = False) -> Encoding:
        """Features of image files, pictures or texts: pooled [b, width]; tokens [b, n_tokens, width]."""
        latents = np.stack([np.random.default_rng(self.number(item)).standard_normal(LATENT) for item in items])
        own = np.stack([self._rng(2, zlib.crc32(_content(item))).standard_normal(self.width) for item in items])
        pooled = (np.tanh(latents @ self.mixing) + self.noise * own).astype(np.float32)
        if not tokens:
            return Encoding(pooled)
        mask = np.arange(self.n_tokens) < self.count_tokens(items)[:, None]
        return Encoding(pooled, pooled[:, None] + self.pattern, mask)

    def number(self, item: Any) -> int:
        """The number that an item carries."""
        if not isinstance(item, str):
            return zlib.crc32(_content(item))
        name = Path(item).stem if self.modality == "vision" else item
        digits = re.findall(r"\d+", name)
        digits = digits[-1:] if self.modality == "vision" else digits
        return int("".join(digits)) if digits else zlib.crc32(item.encode())


def _content(item: Any) -> bytes:
    """The bytes of a text or of a path's name, or those of a picture."""
    if isinstance(item, str):
        return item.encode()
    from ngw.io.images import read

    return read(item).tobytes()
