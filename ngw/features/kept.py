"""Whole encodings of images, kept from the pass that computed their features, for stages that need tokens later."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ngw import io
from ngw.encoders import Encoder, Encoding
from ngw.errors import InputError

SCHEMA = "ngw-encodings-1"


@contextmanager
def keep(
    path: str | os.PathLike, encoder: Any, ids: Sequence[int], metadata: Mapping[str, str]
) -> Iterator[dict[str, io.Rows]]:
    """Stream the encodings of images to a file: yields pooled float32 [n, d] and tokens float16 [n, t, d_t]."""
    if encoder.modality != "vision":
        raise InputError(f"{path}: expected an encoder of images, found one of texts; leave --kept out.")
    n = len(ids)
    arrays = {
        "ids": ("int64", (n,)), "pooled": ("float32", (n, encoder.width)),
        "tokens": ("float16", (n, encoder.n_tokens, encoder.token_width)),
    }  # fmt: skip
    with io.tensors_writer(path, arrays, {"schema": SCHEMA, **metadata}) as out:
        out["ids"][:] = ids
        yield out


class Kept(Encoder):
    """An encoder of images that were encoded before: it reads their encodings from the kept file.

    spec: the encoder's entry, as JSON.  ids: of the items.  Raises `InputError` if the file is another encoder's, or
    lacks a requested image.
    """

    def __init__(
        self, encoder: Encoder, path: str | os.PathLike, spec: str, items: Sequence[str], ids: Sequence[int]
    ) -> None:
        self.encoder, self.path, self.modality = encoder, Path(path), encoder.modality
        arrays, head = io.mapped_tensors(path, "kept encodings", SCHEMA, "no such file; run the encode stage")
        if head["spec"] != spec:
            raise InputError(f"{path}: expected encodings by {spec}, found those by {head['spec']}; encode again.")
        self.n_tokens = encoder.n_tokens
        self.pooled, self.tokens = arrays["pooled"], arrays["tokens"]
        row = {int(i): k for k, i in enumerate(arrays["ids"])}
        self.rows = {item: row[int(i)] for item, i in zip(items, ids, strict=True) if int(i) in row}

    def encode(self, items: Sequence[str], tokens: bool = False) -> Encoding:
        """The kept encodings of these items; tokens have float16's precision."""
        missing = [item for item in items if item not in self.rows]
        if missing:
            raise InputError(
                f"{self.path}: expected {missing[0]} in it, found {len(self.tokens)} other images; set "
                "run.keep_tokens: false."
            )
        rows = [self.rows[item] for item in items]
        z = self.tokens[rows].astype(np.float32)
        return Encoding(self.pooled[rows], z, np.ones(z.shape[:2], bool))

    def card(self) -> dict[str, str]:
        return self.encoder.card()
