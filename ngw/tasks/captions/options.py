"""How the caption decoder is made and trained: options that are checked without torch."""

from __future__ import annotations

from dataclasses import dataclass

from ngw.errors import InputError


@dataclass(frozen=True)
class CaptionerOptions:
    """How the captioner is made and trained.

    model: null for a small one from scratch, or a causal language model of `transformers` with its tokenizer, by folder
    or name@revision on the hub, which is then trained on.  dims, layers, heads: of the small one.  prefix: tokens made
    from the latent.
    noise: length of the noise that is added to a latent's direction, which has length 1.
    beams: of the search; length: the most tokens of a caption.
    """

    model: str | None = None
    dims: int = 128
    layers: int = 2
    heads: int = 4
    prefix: int = 4
    noise: float = 0.5
    epochs: float = 5.0
    batch: int = 32
    learning_rate: float = 2e-3
    looks: int = 8
    patience: int = 3
    held_out: float = 0.05
    beams: int = 3
    length: int = 24

    def __post_init__(self) -> None:
        for name in ("dims", "layers", "heads", "prefix", "epochs", "batch", "looks", "patience", "beams", "length"):
            if not getattr(self, name) > 0:
                raise InputError(f"captioner: {name}: expected more than 0, found {getattr(self, name)}; mend it.")
        if self.noise < 0 or not 0 < self.held_out < 1:
            raise InputError("captioner: expected noise of 0 or more and held_out in (0, 1), found others; mend them.")
        if self.model is None and self.dims % self.heads:
            raise InputError(f"captioner: heads: expected a divisor of dims, {self.dims}, found {self.heads}; mend it.")
