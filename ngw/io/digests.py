"""A file's digest inside the file: each file of a stage carries the SHA-256 of its bytes, and its readers check it.

The file holds `"sha256": "` and 64 hexadecimal digits: the SHA-256 of all its other bytes, so that it covers names,
shapes and metadata as well as values. Its place depends on the format: the metadata of a safetensors file or a parquet
table, the last key of a JSON record, the comment of a zip. Other programs read the file as usual.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from ngw.errors import InputError

KEY = "sha256"
BLANK = "0" * 64  # the digest's placeholder
MARK = f'"{KEY}": "'.encode()  # precedes the digest
WINDOW = 1 << 16  # bytes at the file's end, or its beginning, that contain it
BLOCK = 1 << 20  # bytes read at once


@contextmanager
def opened(path: str | os.PathLike, content: str, missing: str) -> Iterator[BinaryIO]:
    """A file, open for reading; an `InputError` says why it can't be opened.

    content: a noun for the expected content.  missing: the words of the error if there is no such file.
    """
    try:
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"{path}: {missing}.") from None
    except PermissionError:
        raise InputError(
            f"{path}: expected {content}, found a file that this user can't read; change its permissions (chmod u+r, "
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
    """Write a file's digest in the place of `BLANK`.  first: it is at the file's beginning, not at its end."""
    with open(path, "rb+") as file:
        place = _place(file, first)
        assert place is not None, f"{path}: no place for a digest"
        digest = _without(file, place)
        file.seek(place)
        file.write(digest.encode())


def check(path: str | os.PathLike, content: str, missing: str, first: bool = False) -> None:
    """Refuse a file that is missing, can't be read, carries no digest, or differs from its digest.

    It is read once, in blocks.  content, missing: see `opened`.  first: see `seal`.
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
    """The digest's place: after the first mark in the first bytes, or after the last mark in the last bytes."""
    start = 0 if first else max(0, os.fstat(file.fileno()).st_size - WINDOW)
    file.seek(start)
    window = file.read(WINDOW)
    place = window.find(MARK) if first else window.rfind(MARK)
    return None if place < 0 else start + place + len(MARK)


def _without(file: BinaryIO, place: int) -> str:
    """The SHA-256 of a file's bytes, without the digits at `place`."""
    digest, left = hashlib.sha256(), place
    file.seek(0)
    while left and (block := file.read(min(left, BLOCK))):
        digest.update(block)
        left -= len(block)
    file.seek(place + len(BLANK))
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()
