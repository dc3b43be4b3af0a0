"""Features of images or texts by a frozen encoder, in batches; unreadable images are refused or left out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ngw import features
from ngw.encoders import Encoder, Encoding
from ngw.errors import InputError
from ngw.io.images import read as read_image

ON_ERROR = ("stop", "skip")


def encoded(encoder: Encoder, items: Sequence, on_error: str = "stop") -> np.ndarray:
    """An encoder's features [n, width] of items, float32, batch by batch.

    on_error: "stop" raises an `InputError` that names the first image that can't be read; "skip" warns of their
    number, and gives them rows of NaN.
    """
    if on_error not in ON_ERROR:
        raise InputError(f"on_error: expected 'stop' or 'skip', found {on_error!r}; choose one.")
    x = np.full((len(items), encoder.width), np.nan, np.float32)
    reader = encoder if on_error == "stop" else Lenient(encoder)
    for rows, encoding in features.batches(reader, items):
        x[rows] = encoding.pooled
    if isinstance(reader, Lenient) and reader.faults:
        warnings.warn(f"{len(reader.faults)} of {len(items)} images left out: {reader.faults[0]}", stacklevel=3)
    elif (bad := ~np.isfinite(x).all(1)).any():
        raise InputError(
            f"{items[int(bad.argmax())]!r:.80}: expected finite features, found NaN or infinity; mend the item, or "
            "take another encoder."
        )
    return x


class Lenient:
    """An encoder that skips unreadable images: rows of NaN, and one sentence each in `faults`."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.faults = encoder, list[str]()
        self.modality, self.by_id = encoder.modality, False

    def prepare(self, items: Sequence) -> tuple[Sequence, Any]:
        """The items, and what the encoder makes of them; None where one of them can't be read."""
        try:
            return items, self.encoder.prepare(items)
        except InputError:
            return items, None

    def encode(self, batch: tuple[Sequence, Any], tokens: bool = False) -> Encoding:
        """The batch's encoding; where it fails, that of the items that can be read."""
        items, prepared = batch
        try:
            if prepared is not None:
                return self.encoder.encode(prepared, tokens=tokens)
        except InputError:  # of an unreadable image, named below; any other error recurs with the good ones
            pass
        faults = {k: fault for k, item in enumerate(items) if (fault := _fault(item))}
        good = [k for k in range(len(items)) if k not in faults]
        pooled = np.full((len(items), self.encoder.width), np.nan, np.float32)
        if good:
            pooled[good] = self.encoder.encode([items[k] for k in good]).pooled
        self.faults += faults.values()
        return Encoding(pooled)


def _fault(item: Any) -> str:
    """Why an image can't be read, in a sentence; empty if it can."""
    try:
        read_image(item)
    except InputError as error:
        return str(error)
    return ""
