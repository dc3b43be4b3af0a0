"""Joint training from scratch: a CLIP on raw pixels and words, from the known pairs alone; or a published one."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ngw.errors import InputError
from ngw.methods.base import Method
from ngw.registry import at_least, positive


class Joint(Method):
    """What the benchmark compares alignment with: both towers learned together (Radford et al. 2021).

    It reads raw items, not features, so it has stages of its own (`rules/baselines/joint.smk`, `ngw.tasks.joint.clip`).

    model: null, or a folder with a CLIP in the Hugging Face format, which then isn't trained.
    size, patch: pixels.  dims, layers, heads: of both towers.  width: of the shared space.  words: most tokens of a
    text, marks included.  crop: the least share of an image's area that augmentation keeps.  steps: at most; training
    ends when `patience` of its `looks` at held-out pairs in a row bring nothing.  warmup: share of the steps.
    parts: of a batch, computed one after another where its activations don't fit a GPU.  precision: float32, or
    bfloat16 for mixed precision.
    """

    raw = True
    min_pairs = 20
    reference = "Radford et al. 2021"

    def __init__(
        self,
        model: str | None = None,
        size: int = 32,
        patch: int = 8,
        dims: int = 96,
        layers: int = 3,
        heads: int = 4,
        width: int = 64,
        words: int = 24,
        crop: float = 0.7,
        steps: int = 500,
        batch: int = 64,
        learning_rate: float = 2e-3,
        warmup: float = 0.05,
        looks: int = 10,
        patience: int = 3,
        held_out: float = 0.05,
        parts: int = 1,
        precision: str = "float32",
    ) -> None:
        at_least(1, size=size, patch=patch, dims=dims, layers=layers, heads=heads, width=width, steps=steps)
        at_least(1, looks=looks, patience=patience, parts=parts)
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision is float32 or bfloat16, not {precision!r}")
        at_least(2, batch=batch)
        at_least(3, words=words)
        positive(learning_rate=learning_rate)
        if size % patch or dims % heads:
            raise ValueError(f"patch divides size and heads divide dims, not {patch} of {size} and {heads} of {dims}")
        if not (0 < crop <= 1 and 0 <= warmup < 1 and 0 < held_out < 1):
            raise ValueError("crop is in (0, 1], warmup in [0, 1) and held_out in (0, 1)")
        self.model, self.size, self.patch, self.dims, self.layers, self.heads = model, size, patch, dims, layers, heads
        self.width, self.words, self.crop, self.steps, self.batch = width, words, crop, steps, batch
        self.learning_rate, self.warmup, self.looks = learning_rate, warmup, looks
        self.patience, self.held_out, self.parts, self.precision = patience, held_out, parts, precision

    @property
    def supervision(self) -> Literal["none", "some", "all"]:  # type: ignore[override]  # follows from an option
        return "some" if self.model is None else "none"

    def _fit(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray, seed: int) -> None:
        raise InputError(
            "joint: expected raw images and texts, found features; use the stages joint and joint-retrieval."
        )
