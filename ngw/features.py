"""The cache of pooled features: a safetensors file per (data set, split, encoder), written in blocks, read checked."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ngw.errors import InputError
from ngw.io import atomic

SCHEMA = "ngw-features-1"
CODES = {"int64": "I64", "float32": "F32", "float16": "F16"}
NO_HASH = "0" * 64
BLOCK = 1 << 24  # bytes read at once


@dataclass
class Features:
    """A cached cloud: x [n, d] float32, ids [n] (of images or captions), image_ids [n] (the image each belongs to)."""

    ids: np.ndarray
    image_ids: np.ndarray
    x: np.ndarray
    metadata: dict[str, str]


def _header(arrays: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]) -> tuple[bytes, dict]:
    """The safetensors header of named (dtype, shape) arrays, and each one's byte offset in the file."""
    entries: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, (dtype, shape) in arrays.items():
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        entries[name] = {"dtype": CODES[dtype], "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    offsets = {name: 8 + len(text) + entries[name]["data_offsets"][0] for name in arrays}
    return len(text).to_bytes(8, "little") + text, offsets


def _content_hash(path: Path) -> str:
    """SHA-256 of the data section (not of the header, which carries it), read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


@dataclass
class Rows:
    """A write-only array in a file. Each assignment maps the file anew, so what was written leaves the memory."""

    path: Path
    dtype: str
    offset: int
    shape: tuple[int, ...]

    def __setitem__(self, rows, values) -> None:
        if 0 not in self.shape:  # an empty array has nothing to map
            np.memmap(self.path, self.dtype, "r+", self.offset, self.shape)[rows] = values


@contextmanager
def writer(path: str | os.PathLike, arrays: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]):
    """Stream arrays to a safetensors file: yields {name: Rows}; memory doesn't grow with n.

    arrays: {name: (dtype, shape)}.  The content's hash enters the header at the end; then the file is renamed to its
    place, so a reader never sees half of one.
    """
    head, offsets = _header(arrays, {"schema": SCHEMA, **metadata, "sha256": NO_HASH})
    total = len(head) + sum(int(np.prod(s)) * np.dtype(d).itemsize for d, s in arrays.values())
    with atomic(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(head)
            os.posix_fallocate(file.fileno(), 0, total)  # a full disk is told here, not after an hour
        yield {name: Rows(temporary, dtype, offsets[name], shape) for name, (dtype, shape) in arrays.items()}
        with open(temporary, "rb+") as file:
            file.write(head.replace(NO_HASH.encode(), _content_hash(temporary).encode()))


def batches(encoder, items: Sequence, tokens: bool = False, batch: int = 32) -> Iterator[tuple[list[int], Any]]:
    """(rows of the items, their encoding), batch by batch; texts in order of length, so that a batch pads little.

    A batch is read and preprocessed while the network works on the one before.
    """
    from tqdm import tqdm

    order = list(range(len(items)))
    if encoder.modality == "text" and not encoder.by_id:
        order = sorted(order, key=lambda i: len(items[i]))
    starts = [order[start : start + batch] for start in range(0, len(items), batch)]
    unit = "image" if encoder.modality == "vision" else "text"
    with ThreadPoolExecutor(1) as ahead, tqdm(total=len(items), unit=unit) as bar:

        def prepared(k: int):
            return ahead.submit(encoder.prepare, [items[i] for i in starts[k]]) if k < len(starts) else None

        coming = prepared(0)
        for k, rows in enumerate(starts):
            now, coming = coming.result(), prepared(k + 1)
            yield rows, encoder.encode(now, tokens=tokens)
            bar.update(len(rows))


def encode(
    encoder,
    items: list[str],
    ids: list[int],
    image_ids: list[int],
    path: str | os.PathLike,
    metadata: Mapping[str, str],
    batch: int = 32,
) -> None:
    """Run a frozen encoder over items, batch by batch, into a file of pooled features, in the order of `ids`."""
    n = len(items)
    if not n:
        raise InputError(f"{path}: expected items to encode, found none; check the split's size in the config.")
    arrays = {"ids": ("int64", (n,)), "image_ids": ("int64", (n,)), "pooled": ("float32", (n, encoder.width))}
    with writer(path, arrays, {**encoder.card(), **metadata}) as out:
        out["ids"][:], out["image_ids"][:] = ids, image_ids
        for rows, encoding in batches(encoder, ids if encoder.by_id else items, batch=batch):
            bad = ~np.isfinite(encoding.pooled).all(1)
            if bad.any():
                raise InputError(
                    f"{path}: {items[rows[int(bad.argmax())]]!r}: expected finite pooled features, found NaN or "
                    "infinity; mend the item, or take another encoder."
                )
            out["pooled"][rows] = encoding.pooled


def shard(part: str, n: int) -> slice:
    """The rows of n items that are part `k/parts` (1/4, say): as many in each, give or take one.

    Raises `InputError` where it is no such part, or leaves one without an item.
    """
    k, _, parts = part.partition("/")
    if not (k.isdecimal() and parts.isdecimal() and 1 <= int(k) <= int(parts) <= n):
        raise InputError(f"shard: expected k/parts, 1/1 to {n}/{n} of {n} items, found {part!r}; lower run.shards.")
    return slice((int(k) - 1) * n // int(parts), int(k) * n // int(parts))


def gather(paths: Sequence[str | os.PathLike], output: str | os.PathLike) -> None:
    """One feature file of the shards' rows, in their order, read and written a shard at a time.

    Raises `InputError` where a shard is broken, or isn't the one of its place in a whole of these.
    """
    heads: list[dict[str, str]] = []
    for k, path in enumerate(paths, 1):
        head = _opened(path).metadata() or {}
        same = {name: value for name, value in head.items() if name not in ("sha256", "shard")}
        if head.get("shard") != f"{k}/{len(paths)}" or (heads and same != heads[0]):
            raise InputError(
                f"{path}: expected shard {k}/{len(paths)} of one encoding, found {head.get('shard')} of "
                f"{head.get('encoder')}; delete it and rerun."
            )
        heads.append(same)
    sizes = [len(_opened(path).get_slice("ids")[:]) for path in paths]
    width = _opened(paths[0]).get_slice("pooled").get_shape()[1]
    n, told = sum(sizes), {name: value for name, value in heads[0].items() if name != "schema"}
    arrays = {"ids": ("int64", (n,)), "image_ids": ("int64", (n,)), "pooled": ("float32", (n, width))}
    with writer(output, arrays, told) as out:
        first = 0
        for path in paths:
            part = read(path)
            rows = slice(first, first + len(part.ids))
            out["ids"][rows], out["image_ids"][rows], out["pooled"][rows] = part.ids, part.image_ids, part.x
            first = rows.stop


def _opened(path: str | os.PathLike):
    """The safetensors file, or an `InputError` that names it where it is missing or truncated."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise InputError(f"{path}: no such feature file; run the encode stage.")
    try:
        return safe_open(path, framework="np")
    except SafetensorError as error:
        raise InputError(f"{path}: expected a whole safetensors file, found {error}; delete it and rerun.") from None


def read(path: str | os.PathLike, encoder: str | None = None) -> Features:
    """Read and check a feature file: whose it is, its hash, shapes, ids, finiteness.

    encoder: the name that the file must carry.  Raises `InputError` with the file, what was expected and found.
    """
    file = _opened(path)
    metadata = file.metadata() or {}
    if metadata.get("schema") != SCHEMA:
        raise InputError(f"{path}: expected schema {SCHEMA}, found {metadata.get('schema')}; delete it and rerun.")
    if encoder is not None and metadata.get("encoder") != encoder:
        raise InputError(
            f"{path}: expected features of {encoder!r}, found those of {metadata.get('encoder')!r}; "
            "delete the file and rerun."
        )
    if _content_hash(Path(path)) != metadata.get("sha256"):
        raise InputError(f"{path}: its content differs from its own checksum; delete the file and rerun.")
    ids, image_ids, x = (file.get_tensor(name) for name in ("ids", "image_ids", "pooled"))
    _check(path, ids, image_ids, x)
    return Features(ids, image_ids, x, metadata)


def _check(path: str | os.PathLike, ids: np.ndarray, image_ids: np.ndarray, x: np.ndarray) -> None:
    """Shapes, dtype, unique ids, finite values; constant features are refused, since no method can use them."""
    if x.ndim != 2 or x.dtype != np.float32 or not len(ids) == len(image_ids) == len(x):
        raise InputError(
            f"{path}: expected float32 [n, d] with n ids, found {x.dtype} {list(x.shape)} with {len(ids)} ids; "
            "delete the file and rerun."
        )
    if len(np.unique(ids)) != len(ids):
        values, counts = np.unique(ids, return_counts=True)
        raise InputError(
            f"{path}: expected unique ids, found id {values[counts.argmax()]} {counts.max()} times; mend the data."
        )
    finite = np.isfinite(x).all(1)
    if not finite.all():
        row = int((~finite).argmax())
        raise InputError(
            f"{path}: id {ids[row]} (row {row}): expected finite features, found NaN or infinity; re-encode."
        )
    if len(x) > 1 and (x == x[0]).all():
        raise InputError(f"{path}: expected features that differ, found {len(x)} equal rows; check the encoder.")
