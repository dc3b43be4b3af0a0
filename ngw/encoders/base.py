"""The interface of every frozen encoder: its card, and `encode` from raw items to features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ngw.encoders._cards import NOT_STATED
from ngw.options import check


@dataclass
class Encoding:
    """One batch: pooled [b, width] float32; tokens [b, t, token_width] float32 and mask [b, t] bool, if requested."""

    pooled: np.ndarray
    tokens: np.ndarray | None = None
    mask: np.ndarray | None = None


class Encoder:
    """A frozen, pre-trained network. Creating one is cheap: weights load at the first `encode`.

    A subclass states its card (modality, widths, licence, training data, preprocessing with its source), and declares
    its options as fields of a dataclass (`ngw.options`), or stores and checks them in `__init__`.
    """

    by_id: ClassVar[bool] = False  # whether `encode` takes ids instead of items
    modality: str  # "vision": items are image paths; "text": items are strings
    width: int  # of the pooled feature
    token_width: int
    n_tokens: int  # tokens an item, padding included
    licence: str | None = None  # of the weights; None: from the model's own files (`about`), else not stated
    training_data: str | None = None  # as licence
    preprocessing: str
    version: str  # of the weights

    def __post_init__(self) -> None:
        """Refuse options outside their bounds; a subclass completes its card from them."""
        check(self)

    def encode(self, items: Sequence, tokens: bool = False) -> Encoding:
        """Features of a batch of items (image paths, texts, or ids where `by_id`), in their order."""
        raise TypeError(f"{type(self).__name__} must define encode")

    def sources(self) -> list[str]:
        """What features depend on outside this package: paths of files and folders, `package:<name>`."""
        return []

    def prepare(self, items: Sequence[str]) -> Any:
        """Items read and preprocessed, which `encode` also takes; done while the network works on the batch before."""
        return items

    def view(self, item: str) -> Any:
        """The part of an image that a vision encoder sees, as a picture; its tokens are the picture's grid, by rows."""
        raise TypeError(f"{type(self).__name__} must define view")

    def count_tokens(self, items: Sequence[str]) -> np.ndarray:
        """The number of tokens of each item, int64 [len(items)], as in `encode`'s mask; an image has `n_tokens`."""
        if self.modality != "vision":
            raise TypeError(f"{type(self).__name__} must define count_tokens")
        return np.full(len(items), self.n_tokens, np.int64)

    def cut(self, texts: Sequence[str]) -> list[int]:
        """The places of texts that fill all tokens that are read, and of longer ones, whose end is lost."""
        most = self.n_tokens
        long = [k for k, text in enumerate(texts) if most > 1 and len(text) >= most]  # a token is a letter or more
        if not long:
            return []
        counts = self.count_tokens([texts[k] for k in long])
        return [k for k, count in zip(long, counts, strict=True) if count >= most]

    def says_of_cut(self, captions: Sequence[str]) -> str:
        """How many captions are `cut`, in words; empty if none is."""
        count = len(self.cut(captions))
        words = f"{count} of {len(captions)} captions fill the encoder's {self.n_tokens} tokens, and the rest of each"
        return f"{words} is not read" if count else ""

    def about(self) -> Mapping[str, str]:
        """Licence and training data from the model's own files, for what its config entry doesn't state."""
        return {}

    def card(self) -> dict[str, str]:
        """The facts about its encoder in a feature file: from its entry, else from its own files, else "not stated"."""
        names = ("modality", "licence", "training_data", "preprocessing", "version")
        given = {name: getattr(self, name) for name in names}
        own = self.about() if None in given.values() else {}
        return {name: own.get(name, NOT_STATED) if value is None else str(value) for name, value in given.items()}
