"""Your own features, computed elsewhere: npy, safetensors or parquet files, or a folder of `datasets`, with ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ngw.encoders.base import Encoder, Encoding
from ngw.errors import InputError
from ngw.io import arrays
from ngw.options import option


@dataclass(eq=False)
class Precomputed(Encoder):
    """Features looked up by the id of an image or a caption; nothing is computed. An .npy file is mapped, not read."""

    by_id = True
    token_width, n_tokens = 1, 1  # pooled features only

    modality: str = option("vision", among=("vision", "text"))
    # .npy [n, width]; .safetensors with `features` and `ids`; .parquet, or a folder of datasets' save_to_disk, with
    # `id` and `features` (lists) or columns of floats: see `ngw.io.arrays.read`. One file for all splits.
    file: str = "features.safetensors"
    width: int = 768
    ids: str | None = None  # for an .npy: a second .npy with n whole numbers in the same order
    licence: str | None = None
    training_data: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        arrays.check_name(self.file)
        if (Path(self.file).suffix == ".npy") != (self.ids is not None):
            raise ValueError("ids, a file, goes with an .npy file, and with no other")
        self.preprocessing, self.version = "none here", self.file

    def sources(self) -> list[str]:
        return [str(Path(file)) for file in (self.file, self.ids) if file is not None]

    @cached_property
    def table(self) -> tuple[dict[int, int], np.ndarray]:
        """{id: row}, and the features [n, width]; checked."""
        ids, x = self._read()
        if x.ndim != 2 or x.shape[1] != self.width or x.dtype.kind != "f":
            raise InputError(
                f"{self.file}: expected features [n, {self.width}] of floats, found {list(x.shape)} of {x.dtype}; mend "
                "`width` in the config, or the file."
            )
        if ids.ndim != 1 or ids.dtype.kind not in "iu" or len(ids) != len(x):
            raise InputError(
                f"{self.ids or self.file}: expected {len(x)} whole numbers as ids, found {list(ids.shape)} of "
                f"{ids.dtype}; write one for each row."
            )
        row = {int(i): k for k, i in enumerate(ids)}
        if len(row) < len(ids):
            values, counts = np.unique(ids, return_counts=True)
            raise InputError(
                f"{self.ids or self.file}: id {values[counts.argmax()]}: expected once, found {counts.max()} times; "
                "remove the duplicates."
            )
        return row, x

    def _read(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids and features as they are in the file."""
        rows = arrays.read(self.file)
        ids = arrays.npy(Path(self.ids)) if self.ids is not None else rows.ids
        if ids is None:
            raise InputError(f"{self.file}: expected ids (a tensor 'ids', a column 'id'), found none; write them.")
        return ids, rows.x

    def encode(self, items: Sequence, tokens: bool = False) -> Encoding:
        """The features of some ids, pooled [b, width]."""
        if tokens:
            raise InputError(f"{self.file}: precomputed features have no tokens; take another encoder for fusion.")
        row, x = self.table
        missing = [i for i in items if i not in row]
        if missing:
            raise InputError(
                f"{self.file}: id {missing[0]}: expected its features, found none ({len(row)} other ids have some); "
                "write them, or take the item out of the data set."
            )
        with np.errstate(over="ignore"):  # a float64 beyond float32, told below
            pooled = np.asarray(x[[row[i] for i in items]], np.float32)
        bad = ~np.isfinite(pooled).all(1)
        if bad.any():
            worst = items[int(bad.argmax())]
            raise InputError(
                f"{self.file}: id {worst} (row {row[worst]}): expected finite float32 features, found NaN, infinity or "
                "a number beyond; mend the row, or take the item out of the data set."
            )
        return Encoding(pooled)
