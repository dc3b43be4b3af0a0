"""Joint training from scratch for questions: one transformer over an image's patches and a question's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ngw.errors import InputError
from ngw.features.basis import Tokens
from ngw.fusion.base import Fusion
from ngw.methods.joint import Joint as Towers
from ngw.registry import positive

if TYPE_CHECKING:
    from ngw.fusion._alignment import Maps
    from ngw.fusion._network import Network


class Joint(Fusion):
    """Pixels and words to an answer, with no frozen encoder (a single stream, as ViLT: Kim et al. 2021).

    It reads raw items, so it has a stage of its own, joint-vqa (`ngw.tasks.joint.vqa`).

    size, patch: pixels.  dims, layers, heads: of the transformer.  words: most of a question, marks included.
    epochs, learning_rate: in place of the table's, since random weights learn longer.
    """

    raw = True
    reference = "Kim et al. 2021"

    def __init__(
        self,
        size: int = 32,
        patch: int = 8,
        dims: int = 96,
        layers: int = 3,
        heads: int = 4,
        words: int = 24,
        epochs: float = 2.0,
        learning_rate: float = 1e-3,
    ) -> None:
        positive(epochs=epochs, learning_rate=learning_rate)
        self.towers = Towers(size=size, patch=patch, dims=dims, layers=layers, heads=heads, words=words)
        self.size, self.patch, self.dims, self.layers, self.heads = size, patch, dims, layers, heads
        self.words, self.epochs, self.learning_rate = words, epochs, learning_rate
        self.width = dims

    def network(self, a: Tokens, b: Tokens, maps: Maps | None = None, seed: int = 0) -> Network:
        raise InputError("joint: expected raw images and questions, found tokens; use the stage joint-vqa.")
