"""Joint training from scratch: a CLIP on raw pixels and words, from the known pairs alone; or a published one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ngw.errors import InputError
from ngw.methods.base import Method
from ngw.options import option


@dataclass(eq=False, repr=False)
class Joint(Method):
    """The benchmark's comparison for alignment: both towers trained together (Radford et al. 2021).

    It reads raw items, not features, so it has stages of its own (`rules/baselines/joint.smk`, `ngw.tasks.joint.clip`).
    """

    raw = True
    min_pairs = 20
    reference = "Radford et al. 2021"

    model: str | None = None  # null, or a folder with a CLIP in the Hugging Face format, which then isn't trained
    size: int = option(32, least=1)  # of an image, in pixels
    patch: int = option(8, least=1)  # in pixels
    dims: int = option(96, least=1)  # of both towers, as are layers and heads
    layers: int = option(3, least=1)
    heads: int = option(4, least=1)
    width: int = option(64, least=1)  # of the shared space
    words: int = option(24, least=3)  # tokens of a text at most, marks included
    crop: float = option(0.7, above=0, most=1)  # smallest share of an image's area that augmentation keeps
    steps: int = option(500, least=1)  # at most
    batch: int = option(64, least=2)  # pairs per step
    learning_rate: float = option(2e-3, above=0)
    warmup: float = option(0.05, least=0, below=1)  # share of the steps
    looks: int = option(10, least=1)  # evaluations on held-out pairs
    patience: int = option(3, least=1)  # evaluations in a row without improvement, after which training ends
    held_out: float = option(0.05, above=0, below=1)  # share of the pairs
    parts: int = option(1, least=1)  # of a batch, computed in turn where its activations don't fit a GPU
    precision: str = option("float32", among=("float32", "bfloat16"))  # bfloat16 is mixed

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % self.patch or self.dims % self.heads:
            sizes = f"{self.patch} of {self.size} and {self.heads} of {self.dims}"
            raise ValueError(f"patch divides size and heads divide dims, not {sizes}")

    @property
    def supervision(self) -> Literal["none", "some", "all"]:  # type: ignore[override]  # follows from an option
        return "some" if self.model is None else "none"

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        raise InputError(
            "joint: expected raw images and texts, found features; use the stages joint and joint-retrieval."
        )
