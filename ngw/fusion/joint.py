"""Joint training from scratch for questions: one transformer over an image's patches and a question's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ngw.errors import InputError
from ngw.features.basis import Tokens
from ngw.fusion.base import Row
from ngw.methods.joint import Joint as Towers
from ngw.options import option

if TYPE_CHECKING:
    from ngw.fusion._alignment import Maps
    from ngw.fusion._network import Network


@dataclass(eq=False)
class Joint(Row):
    """Pixels and words to an answer, with no frozen encoder (a single stream, as ViLT: Kim et al. 2021).

    It reads raw items, so it has a stage of its own, joint-vqa (`ngw.tasks.joint.vqa`).
    """

    raw = True
    reference = "Kim et al. 2021"

    # The transformer's, as in `ngw.methods.joint`, which checks them.
    size: int = 32  # of an image, in pixels
    patch: int = 8
    dims: int = 96
    layers: int = 3
    heads: int = 4
    words: int = 24  # most tokens of a question, marks included
    # In place of the table's, since random weights need longer training.
    epochs: float = option(2.0, above=0)
    learning_rate: float = option(1e-3, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.towers = Towers(
            size=self.size, patch=self.patch, dims=self.dims, layers=self.layers, heads=self.heads, words=self.words
        )
        self.width = self.dims

    def network(self, a: Tokens, b: Tokens, maps: Maps | None = None, seed: int = 0) -> Network:
        raise InputError("joint: expected raw images and questions, found tokens; use the stage joint-vqa.")
