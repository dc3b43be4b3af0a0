"""The index of a folder: its images' rows in a model's space, each with its file's name, size and time; one file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ngw import __version__, io
from ngw.dual import cache
from ngw.dual.encoder import DualEncoder
from ngw.dual.encoding import encoded
from ngw.dual.files import State, found
from ngw.errors import InputError
from ngw.io.atomic import check_writable

SCHEMA = "ngw-index-1"
PORTION = 4096  # images between writes of the index; an eighth of it if that is more, so that writing costs O(n)
SCORES = 1 << 24  # of a block of queries, in memory at once


@dataclass
class Index:
    """names [n], paths below `folder`; sizes, times int64 [n]; vectors float32 [n, e], unit rows.

    model: the dual encoder's folder at the time of indexing; digest: of that model.
    """

    folder: str
    model: str
    digest: str
    names: list[str]
    sizes: np.ndarray
    times: np.ndarray
    vectors: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def path(self, row: int) -> Path:
        """The path of an image."""
        return Path(self.folder) / self.names[row]

    def nearest(self, queries: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows int [q, k], scores float32 [q, k]) of the `top` best images of unit rows [q, e], best first.

        Every image is compared; of equal scores the earlier row comes first.  k is at most n.
        """
        k = min(top, len(self))
        step = max(1, SCORES // len(self))
        blocks = (queries[start : start + step] @ self.vectors.T for start in range(0, len(queries), step))
        best = [_best(scores, k) for block in blocks for scores in block]
        return np.stack([rows for rows, _ in best]), np.stack([scores for _, scores in best])

    def of(self, rows: Sequence[int] | np.ndarray) -> Index:
        """An index of some of its rows."""
        rows = np.asarray(rows, np.int64)
        parts = (self.sizes[rows], self.times[rows], self.vectors[rows])
        return Index(self.folder, self.model, self.digest, [self.names[row] for row in rows], *parts)

    def with_rows(self, names: Sequence[str], states: Sequence[State], vectors: np.ndarray) -> Index:
        """An index with further images behind its own."""
        sizes, times = (np.array(values, np.int64) for values in zip(*states, strict=True))
        parts = ((self.sizes, sizes), (self.times, times), (self.vectors, vectors))
        joined = (np.concatenate(pair) for pair in parts)
        return Index(self.folder, self.model, self.digest, [*self.names, *names], *joined)

    def write(self, path: str | os.PathLike) -> None:
        """Write one file, whole or not at all."""
        names = np.frombuffer("\0".join(self.names).encode(errors="surrogateescape"), np.uint8)
        arrays = {"names": names, "sizes": self.sizes, "times": self.times, "vectors": self.vectors}
        head = {"schema": SCHEMA, "ngw": __version__, "folder": self.folder, "model": self.model}
        io.write_tensors(path, arrays, head | {"model_sha256": self.digest})

    @classmethod
    def read(cls, path: str | os.PathLike) -> Self:
        """The index that `write` wrote; an `InputError` if it doesn't exist or isn't whole."""
        if not Path(path).is_file():
            raise InputError(f"{path}: expected an index, found no such file; `ngw index` makes one.")
        arrays, head = io.read_tensors(path, "an index of images", "schema")
        if head["schema"] != SCHEMA:
            raise InputError(f"{path}: expected schema {SCHEMA}, found {head['schema']}; delete it and index again.")
        names = arrays["names"].tobytes().decode(errors="surrogateescape").split("\0")
        parts = (arrays["sizes"], arrays["times"], arrays["vectors"])
        return cls(head["folder"], head["model"], head["model_sha256"], names, *parts)

    def check_model(self, model: DualEncoder, path: str | os.PathLike, where: str | os.PathLike) -> None:
        """Refuse a model other than the one that computed the index's rows."""
        if model.digest != self.digest:
            raise InputError(
                f"{path}: expected an index of the model {where} ({str(model.digest)[:12]}), found one of another "
                f"({self.digest[:12]}); index again, or name its model by --model."
            )


def _best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the k largest scores [n], in falling order, and these scores."""
    least = np.partition(scores, -k)[-k]
    above = np.flatnonzero(scores > least)
    rows = np.concatenate([above, np.flatnonzero(scores == least)[: k - len(above)]])
    rows = rows[np.lexsort((rows, -scores[rows]))]
    return rows, scores[rows]


@contextmanager
def locked(path: str | os.PathLike) -> Iterator[None]:
    """A lock: only one process works on an index; another gets an error. A killed process leaves no lock."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    while True:
        with open(lock, "wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"{path}: another `ngw index` is at work on it; wait until it has ended.") from None
            if not (lock.exists() and os.path.samestat(lock.stat(), os.fstat(file.fileno()))):
                continue  # the one before has just removed it
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def update(
    path: str | os.PathLike, folder: str | os.PathLike, model: DualEncoder, where: str | os.PathLike,
    on_error: str = "stop", say: Callable[[str], None] = print,
) -> Index:  # fmt: skip
    """Create a folder's index, or update it: new and changed images are encoded, missing ones are dropped.

    model: loaded from the folder `where`.  After an interruption, the next call goes on from the last written portion.

    Raises:
        InputError: no images, none that can be read, an index of another folder, another process at work.
    """
    root, place = _named(folder), _named(where)
    check_writable(Path(path))
    with locked(path):
        states, others = found(folder)
        before, changed = _begin(path, root, model, place, say)
        known = zip(before.names, before.sizes.tolist(), before.times.tolist(), strict=True)
        same = [row for row, (name, *state) in enumerate(known) if states.get(name) == tuple(state)]
        gone = sum(name not in states for name in before.names)
        kept = before.of(same) if len(same) < len(before) else before
        index = _extended(path, kept, model, states, on_error)
        if not len(index):
            raise InputError(f"{folder}: expected images that can be read, found none in {len(states)} files.")
        if len(index) == len(kept) and (kept is not before or changed):
            index.write(path)
        new, unread = len(index) - len(kept), len(states) - len(index)
        say(f"{path}: {len(index):,} images; {new:,} new, {len(same):,} known, {gone:,} gone, {unread:,} unread")
        if others:
            say(f"{folder}: {others} left out")
        return index


def _named(folder: str | os.PathLike) -> str:
    """A folder's absolute path, as the index keeps it; its text is UTF-8."""
    path = os.path.abspath(folder)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InputError(f"{path!a}: expected a folder whose path is UTF-8, found other bytes; rename it.") from None
    return path


def _extended(
    path: str | os.PathLike, index: Index, model: DualEncoder, states: dict[str, State], on_error: str
) -> Index:
    """The index with the images that it lacks, written portion by portion."""
    known = set(index.names)
    new = [name for name in states if name not in known]
    cached = cache.known(cache.place(model.vision, index.folder)) if new else {}
    while new:
        portion = max(PORTION, len(index) // 8)
        names, new = new[:portion], new[portion:]
        u = _vectors(model, index.folder, {name: states[name] for name in names}, cached, on_error)
        read = np.isfinite(u).all(1)
        if read.any():
            names = [name for name, good in zip(names, read, strict=True) if good]
            index = index.with_rows(names, [states[name] for name in names], u[read])
            index.write(path)
    return index


def _begin(
    path: str | os.PathLike, root: str, model: DualEncoder, where: str, say: Callable[[str], None]
) -> tuple[Index, bool]:
    """The existing index, or an empty one if there is none or another model's; and whether the model has moved."""
    none = np.empty(0, np.int64)
    empty = Index(root, where, str(model.digest), [], none, none, np.empty((0, model.width), np.float32))
    if not Path(path).exists():
        return empty, False
    index = Index.read(path)
    if index.folder != root:
        raise InputError(f"{path}: expected an index of {root}, found one of {index.folder}; name another file.")
    if index.digest != model.digest:
        say(f"{path}: made by another model; every image is encoded again")
        return empty, False
    moved, index.model = index.model != where, where
    return index, moved


def _vectors(
    model: DualEncoder, root: str, states: dict[str, State], cached: dict[int, np.ndarray], on_error: str
) -> np.ndarray:
    """Rows of images; features that `align` has cached for this folder are used."""
    x = np.full((len(states), model.vision.width), np.nan, np.float32)
    left = []
    for k, (name, state) in enumerate(states.items()):
        row = cached.get(cache.key(name, *state))
        if row is None:
            left.append((k, str(Path(root) / name)))
        else:
            x[k] = row
    if left:
        x[[k for k, _ in left]] = encoded(model.vision, [item for _, item in left], on_error)
    return model.embed(model.vision, x)
