"""The options of the caption decoder and of its training, checked without torch."""

from __future__ import annotations

from dataclasses import dataclass

from ngw.errors import InputError
from ngw.options import check, option


@dataclass(frozen=True)
class CaptionerOptions:
    """The options of the captioner and of its training."""

    # The language model: null for a small one from scratch; or a model of `transformers` with its tokenizer (a folder,
    # or name@revision on the hub), which is then trained further.
    model: str | None = None
    dims: int = option(128, above=0)  # of the small one, like layers and heads
    layers: int = option(2, above=0)
    heads: int = option(4, above=0)
    prefix: int = option(4, above=0)  # tokens made from the latent
    # Training.
    noise: float = option(0.5, least=0)  # length of the noise on a latent's direction, which has length 1
    epochs: float = option(5.0, above=0)  # passes over the training captions
    batch: int = option(32, above=0)
    learning_rate: float = option(2e-3, above=0)
    looks: int = option(8, above=0)  # evaluations on held-out captions, evenly over the steps
    patience: int = option(3, above=0)  # evaluations without a gain, after which training ends
    held_out: float = option(0.05, above=0, below=1)  # share of the training images
    # Generation.
    beams: int = option(3, above=0)  # of the search
    length: int = option(24, above=0)  # tokens of a caption, at most

    def __post_init__(self) -> None:
        check(self, "captioner")
        if self.model is None and self.dims % self.heads:
            raise InputError(f"captioner: heads: expected a divisor of dims, {self.dims}, found {self.heads}; mend it.")
