"""The cache of pooled features: a safetensors file per (data set, split, encoder), written in blocks, read checked."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from ngw import io
from ngw.errors import InputError
from ngw.features.kept import keep

SCHEMA = "ngw-features-1"


@dataclass
class Features:
    """A cached cloud: x [n, d] float32, ids [n] (of images or captions), image_ids [n] (the image each belongs to)."""

    ids: np.ndarray
    image_ids: np.ndarray
    x: np.ndarray
    metadata: dict[str, str]


def writer(path: str | os.PathLike, arrays: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]):
    """Stream arrays to a feature file: `ngw.io.tensors_writer` with the schema."""
    return io.tensors_writer(path, arrays, {"schema": SCHEMA, **metadata})


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
    with ThreadPoolExecutor(1) as ahead, tqdm(total=len(items), unit=unit, delay=1) as bar:

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
    kept: str | os.PathLike | None = None,
) -> None:
    """Run a frozen encoder over items, batch by batch, into a file of pooled features, in the order of `ids`.

    kept: a second file, for the images' tokens from the same pass (`ngw.features.kept`).
    """
    n = len(items)
    if not n:
        raise InputError(f"{path}: expected items to encode, found none; check the split's size in the config.")
    arrays = {"ids": ("int64", (n,)), "image_ids": ("int64", (n,)), "pooled": ("float32", (n, encoder.width))}
    head = {**encoder.card(), **metadata}
    with ExitStack() as files:
        out = files.enter_context(writer(path, arrays, head))
        out["ids"][:], out["image_ids"][:] = ids, image_ids
        whole = None if kept is None else files.enter_context(keep(kept, encoder, ids, head))
        for rows, encoding in batches(encoder, ids if encoder.by_id else items, kept is not None, batch):
            bad = ~np.isfinite(encoding.pooled).all(1)
            if bad.any():
                raise InputError(
                    f"{path}: {items[rows[int(bad.argmax())]]!r}: expected finite pooled features, found NaN or "
                    "infinity; mend the item, or take another encoder."
                )
            out["pooled"][rows] = encoding.pooled
            if whole is not None:
                whole["pooled"][rows] = encoding.pooled
                whole["tokens"][rows] = encoding.tokens[encoding.mask].reshape(len(rows), encoder.n_tokens, -1)


def shard(part: str, n: int) -> slice:
    """The rows of n items in part `k/parts` (1/4, say); sizes of parts differ by one at most.

    Raises `InputError` if there is no such part, or a part would be empty.
    """
    k, _, parts = part.partition("/")
    if not (k.isdecimal() and parts.isdecimal() and 1 <= int(k) <= int(parts) <= n):
        raise InputError(f"shard: expected k/parts, 1/1 to {n}/{n} of {n} items, found {part!r}; lower run.shards.")
    return slice((int(k) - 1) * n // int(parts), int(k) * n // int(parts))


def gather(paths: Sequence[str | os.PathLike], output: str | os.PathLike) -> None:
    """Write one feature file from the shards' rows, in their order, one shard at a time.

    Raises `InputError` if a shard is broken, or isn't the one of its place.
    """
    files = [_opened(path) for path in paths]
    heads: list[dict[str, str]] = []
    for k, (path, (_, head)) in enumerate(zip(paths, files, strict=True), 1):
        same = {name: value for name, value in head.items() if name not in ("sha256", "shard")}
        if head.get("shard") != f"{k}/{len(paths)}" or (heads and same != heads[0]):
            raise InputError(
                f"{path}: expected shard {k}/{len(paths)} of one encoding, found {head.get('shard')} of "
                f"{head.get('encoder')}; delete it and rerun."
            )
        heads.append(same)
    width = files[0][0]["pooled"].shape[1]
    n = sum(len(arrays["ids"]) for arrays, _ in files)
    metadata = {name: value for name, value in heads[0].items() if name != "schema"}
    arrays = {"ids": ("int64", (n,)), "image_ids": ("int64", (n,)), "pooled": ("float32", (n, width))}
    with writer(output, arrays, metadata) as out:
        first = 0
        for path, file in zip(paths, files, strict=True):
            part = _checked(path, *file)
            rows = slice(first, first + len(part.ids))
            out["ids"][rows], out["image_ids"][rows], out["pooled"][rows] = part.ids, part.image_ids, part.x
            first = rows.stop


def _opened(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(arrays, mapped from the file, metadata); an `InputError` names a file that has no features."""
    return io.mapped_tensors(path, "features", SCHEMA, "no such feature file; run the encode stage")


def read(path: str | os.PathLike, encoder: str | None = None) -> Features:
    """Read and check a feature file: digest, encoder, shapes, ids, finite values.

    encoder: the name that the file must carry.  Raises `InputError` with the file, the expected and the found.
    The last few are cached for a job of many runs: their arrays are mapped from the file and read-only.
    """
    try:
        found = os.stat(path)
    except OSError:  # the reader reports it, with the reason
        return _checked(path, *_opened(path))
    return _read(os.fspath(path), encoder, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=6)
def _read(path: str, encoder: str | None, size: int, changed: int) -> Features:
    """The features of a file, read again only if its size or time has changed."""
    arrays, metadata = _opened(path)
    source = metadata.get("encoder")
    if encoder is not None and source != encoder:
        raise InputError(
            f"{path}: expected features of {encoder!r}, found those of {source!r}; delete the file and rerun."
        )
    return _checked(path, arrays, metadata)


def _checked(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], metadata: dict[str, str]) -> Features:
    """The features of a file, their content checked."""
    ids, image_ids, x = (arrays[name] for name in ("ids", "image_ids", "pooled"))
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
