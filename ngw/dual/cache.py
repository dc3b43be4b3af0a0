"""The user's cache of features, outside `results/`: one file an encoder and a source, rows by keys of their items."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ngw import features
from ngw.dual import sides
from ngw.encoders import Encoder
from ngw.errors import naming
from ngw.io.atomic import check_writable


def folder() -> Path:
    """The folder of the cache: $NGW_CACHE, or ngw in the user's cache folder."""
    own = os.environ.get("NGW_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ngw"


def place(encoder: Encoder, source: str | os.PathLike) -> Path:
    """The file of an encoder's features of a source, a folder of images or a file of captions."""
    return folder() / f"{sides.identity(encoder)[:16]}-{key(os.path.abspath(source)):016x}.safetensors"


def key(*facts: object) -> int:
    """A whole number of 63 bits that identifies a row's item by these facts."""
    text = "\0".join(map(str, facts)).encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1


def known(file: Path) -> dict[int, np.ndarray]:
    """The features of a file by their keys; none where there is no file."""
    if not file.exists():
        return {}
    cached = features.read(file)
    return dict(zip(cached.ids.tolist(), cached.x, strict=True))


def through(
    file: Path, encoder: Encoder, items: Sequence, keys: Sequence[int], encode: Callable[[list], np.ndarray]
) -> np.ndarray:
    """Features [n, width] of items, from the file or, where it lacks them, by `encode`; the file then has them too.

    keys: one for each item, equal for equal items.  Rows of NaN, for skipped items, aren't kept.
    """
    rows = known(file)
    new = {k: item for k, item in zip(keys, items, strict=True) if k not in rows}
    if new:
        with naming("the cache of features ($NGW_CACHE)"):
            check_writable(file)
        made = encode(list(new.values()))
        wanted = dict.fromkeys(keys)
        rows = {k: row for k, row in rows.items() if k in wanted} | dict(zip(new, made, strict=True))
        _write(file, encoder, {k: row for k, row in rows.items() if np.isfinite(row).all()})
    return np.stack([rows[k] for k in keys])


def _write(file: Path, encoder: Encoder, rows: dict[int, np.ndarray]) -> None:
    shape = (len(rows),)
    arrays = {"ids": ("int64", shape), "image_ids": ("int64", shape), "pooled": ("float32", (*shape, encoder.width))}
    if not rows:
        return
    with features.writer(file, arrays, {"encoder": type(encoder).__name__, "modality": encoder.modality}) as out:
        out["ids"][:] = out["image_ids"][:] = list(rows)
        out["pooled"][:] = np.stack(list(rows.values()))
