"""What every frozen encoder offers: who it is, and `encode` from raw items to features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ngw.encoders._cards import NOT_STATED
from ngw.options import check


@dataclass
class Encoding:
    """One batch: pooled [b, width] float32; tokens [b, t, token_width] float32 and mask [b, t] bool, if asked for."""

    pooled: np.ndarray
    tokens: np.ndarray | None = None
    mask: np.ndarray | None = None


class Encoder:
    """A frozen, pre-trained network. Making one is cheap: weights load at the first `encode`.

    A subclass states its card (modality, widths, licence, training data, preprocessing with its source), and declares
    its options as fields of a dataclass (`ngw.options`), or stores and checks them in `__init__`.
    """

    by_id: ClassVar[bool] = False  # whether `encode` takes ids instead of items
    modality: str  # "vision": items are image paths; "text": items are strings
    width: int  # of the pooled feature
    token_width: int
    n_tokens: int  # tokens an item, padding included
    licence: str | None = None  # of the weights; None: as the model's own files say (`about`), else not stated
    training_data: str | None = None  # as licence
    preprocessing: str
    version: str  # of the weights

    def __post_init__(self) -> None:
        """Refuse options outside their bounds; a subclass adds to its card what follows from them."""
        check(self)

    def encode(self, items: Sequence, tokens: bool = False) -> Encoding:
        """Features of a batch of items (image paths, texts, or ids where `by_id`), in their order."""
        raise TypeError(f"{type(self).__name__} must define encode")

    def sources(self) -> list[str]:
        """What lies outside the package and features depend on: paths of files and folders, `package:<name>`."""
        return []

    def prepare(self, items: Sequence[str]) -> Any:
        """What `encode` takes as well as items: read and preprocessed, while the network works on the batch before."""
        return items

    def view(self, item: str) -> Any:
        """What a vision encoder sees of an image, as a picture whose grid its tokens are, rows first."""
        raise TypeError(f"{type(self).__name__} must define view")

    def count_tokens(self, items: Sequence[str]) -> np.ndarray:
        """How many tokens each item has, int64 [len(items)], as `encode`'s mask will say; an image has all."""
        if self.modality != "vision":
            raise TypeError(f"{type(self).__name__} must define count_tokens")
        return np.full(len(items), self.n_tokens, np.int64)

    def about(self) -> Mapping[str, str]:
        """What the model's own files say of its licence and training data, where its config entry says nothing."""
        return {}

    def card(self) -> dict[str, str]:
        """What a feature file says about its encoder: what its entry says, else its own files, else "not stated"."""
        names = ("modality", "licence", "training_data", "preprocessing", "version")
        given = {name: getattr(self, name) for name in names}
        own = self.about() if None in given.values() else {}
        return {name: own.get(name, NOT_STATED) if value is None else str(value) for name, value in given.items()}
