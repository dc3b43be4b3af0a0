"""Token features (grids of images, words of questions): float16 in a PCA basis, mapped from their file as needed.

A file holds each different item once; an image of 49 tokens in 128 dimensions takes 12.5 KB (125 KB in all 1,280 of
EfficientNet-Lite0), a question of 10 tokens 2.5 KB.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ngw import io
from ngw.errors import InputError
from ngw.features.basis import Basis, Tokens
from ngw.features.store import batches

if TYPE_CHECKING:
    from ngw.encoders import Encoder

SCHEMA = "ngw-tokens-1"


def write(
    encoder: Encoder,
    items: Sequence[str],
    ids: Sequence[int],
    basis: Basis,
    path: str | os.PathLike,
    metadata: Mapping[str, str],
) -> None:
    """Encode items (equal ones once) to a token file: axes' (token - mean) of every token, in float16.

    ids: of images or questions, [n].  Memory doesn't grow with n.  Raises `InputError` if an item's tokens aren't
    finite in float16.
    """
    if not items:
        raise InputError(f"{path}: expected items to encode, found none; check the split's size in the config.")
    unique = list(dict.fromkeys(items))
    place = {item: row for row, item in enumerate(unique)}
    counts = encoder.count_tokens(unique)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    d, p = basis.axes.shape
    arrays = {
        "ids": ("int64", (len(ids),)), "rows": ("int64", (len(ids),)), "starts": ("int64", starts.shape),
        "axes": ("float32", (d, p)), "mean": ("float32", (d,)), "tokens": ("float16", (int(starts[-1]), p)),
    }  # fmt: skip
    head = {"schema": SCHEMA, **encoder.card(), **metadata, "unit": repr(basis.unit)}
    with io.tensors_writer(path, arrays, head) as out:
        out["ids"][:], out["rows"][:], out["starts"][:] = ids, [place[item] for item in items], starts
        out["axes"][:], out["mean"][:] = basis.axes, basis.mean
        for rows, part in batches(encoder, unique, tokens=True):
            lengths = part.mask.sum(1)
            if (lengths != counts[rows]).any():
                k = int((lengths != counts[rows]).argmax())
                raise InputError(
                    f"{path}: {unique[rows[k]]!r}: expected {counts[rows[k]]} tokens, as count_tokens says, found "
                    f"{lengths[k]}; mend the encoder."
                )
            with np.errstate(over="ignore"):  # what float16 can't hold becomes infinity, and is refused
                kept = ((part.tokens[part.mask] - basis.mean) @ basis.axes).astype(np.float16)
            owner = np.repeat(np.arange(len(rows)), lengths)
            bad = ~np.isfinite(kept).all(1)
            if bad.any():
                raise InputError(
                    f"{path}: {unique[rows[owner[bad.argmax()]]]!r}: expected finite tokens in float16, found NaN or "
                    "infinity; mend the item, or take another encoder."
                )
            out["tokens"][np.concatenate([np.arange(starts[r], starts[r + 1]) for r in rows])] = kept


class TokenFile:
    """A token file, open: ids [n], basis, metadata; tokens stay on disk until `batch` gathers some.

    Opening reads the file once, to check its digest: 1.4 GB a second from memory, else at the disk's speed.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        missing = "no such token file; run the tokens stage"
        arrays, self.metadata = io.mapped_tensors(path, "a token file", SCHEMA, missing)
        self.ids, self._rows, self._starts = (np.array(arrays[name]) for name in ("ids", "rows", "starts"))
        self.basis = Basis(np.array(arrays["axes"]), np.array(arrays["mean"]), float(self.metadata["unit"]))
        self._tokens = arrays["tokens"]
        self._place = {int(i): row for row, i in enumerate(self.ids)}

    @property
    def tokens(self) -> Tokens:
        """Width and scale of the tokens, from which a network's projection starts."""
        scale, mean = float(self.metadata["scale"]), np.zeros(self._tokens.shape[1])
        return Tokens(self._tokens.shape[1], mean, scale or 1.0)

    def rows(self, ids: Sequence[int]) -> np.ndarray:
        """The items' rows in this file: int64 [len(ids)]; an `InputError` names a missing item."""
        missing = [int(i) for i in ids if int(i) not in self._place]
        if missing:
            raise InputError(
                f"{self.path}: {missing[0]}: expected its tokens, found none ({len(missing)} of {len(ids)} are "
                "missing); are the files of one data set? Run the tokens stage again."
            )
        return np.array([self._place[int(i)] for i in ids], np.int64)

    def batch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens float16 [b, t, p] of some rows and their mask [b, t], t the longest; values outside the mask don't
        count."""
        item = self._rows[rows]
        first, count = self._starts[item], self._starts[item + 1] - self._starts[item]
        step = np.arange(count.max())
        mask = step < count[:, None]
        return self._tokens[np.minimum(first[:, None] + step, len(self._tokens) - 1)], mask
