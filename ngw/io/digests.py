"""A file's digest inside the file: what a stage writes carries the SHA-256 of its bytes, and its readers check it.

Somewhere the file holds `"sha256": "` and 64 hexadecimal digits: the SHA-256 of all its other bytes, so that names,
shapes and metadata are covered as values are. Where that is, each format says: the metadata of a safetensors file and
of a parquet table, the last key of a JSON record, the comment of a zip. Another program reads the file as ever.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ngw.errors import InputError

KEY = "sha256"
BLANK = "0" * 64  # where the digest will stand
MARK = f'"{KEY}": "'.encode()  # before it
WINDOW = 1 << 16  # bytes from the file's end, or its beginning, within which it stands
BLOCK = 1 << 20  # bytes read at once


@contextmanager
def opened(path: str | os.PathLike, content: str, missing: str) -> Iterator[BinaryIO]:
    """A file, open for reading; an `InputError` says why it can't be.

    content: a noun for what it should be.  missing: what is said where there is none.
    """
    try:
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"{path}: {missing}.") from None
    except PermissionError:
        raise InputError(
            f"{path}: expected {content}, found a file that this user may not read; change its permissions (chmod u+r, "
            "and u+x of its folders)."
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: expected {content}, found {reason}; check the path and its disk.") from None


def of(path: str | os.PathLike) -> str:
    """The SHA-256 of a whole file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(path: str | os.PathLike, first: bool = False) -> None:
    """Write its digest into a file that has `BLANK` in its place.  first: at the file's beginning, not at its end."""
    with open(path, "rb+") as file:
        place = _place(file, first)
        assert place is not None, f"{path}: no place for a digest"
        digest = _without(file, place)
        file.seek(place)
        file.write(digest.encode())


def check(path: str | os.PathLike, content: str, missing: str, first: bool = False) -> None:
    """Refuse a file that isn't there, may not be read, carries no digest, or another than its content's.

    It is read once, in blocks; `what`, `missing`: see `opened`.
    """
    with opened(path, content, missing) as file:
        place = _place(file, first)
        if place is None:
            flaw = "a file without a digest of its content (cut, changed, or written by an older version)"
        else:
            file.seek(place)
            same = file.read(len(BLANK)) == _without(file, place).encode()
            flaw = "" if same else "content that differs from its digest"
    if flaw:
        raise InputError(f"{path}: expected {content}, found {flaw}; delete it and rerun its stage.")


def _place(file: BinaryIO, first: bool) -> int | None:
    """Where the digest stands: after the first mark of the first bytes, or after the last one of the last bytes."""
    start = 0 if first else max(0, os.fstat(file.fileno()).st_size - WINDOW)
    file.seek(start)
    window = file.read(WINDOW)
    place = window.find(MARK) if first else window.rfind(MARK)
    return None if place < 0 else start + place + len(MARK)


def _without(file: BinaryIO, place: int) -> str:
    """The SHA-256 of a file's bytes but for the digits at `place`."""
    digest, left = hashlib.sha256(), place
    file.seek(0)
    while left and (block := file.read(min(left, BLOCK))):
        digest.update(block)
        left -= len(block)
    file.seek(place + len(BLANK))
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()
