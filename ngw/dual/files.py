"""The pictures of a folder: their paths, sizes and times."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ngw.errors import InputError

SUFFIXES = {
    ".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".jp2", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp",
}  # fmt: skip


class State(NamedTuple):
    """A file's size in bytes and the time of its last change in ns, by which a changed file is known."""

    size: int
    time: int


def pictures(folder: str | os.PathLike) -> dict[str, State]:
    """{path below the folder: state} of all files with a picture's suffix, sorted by name.

    Files and folders whose names begin with a dot are left out, and links to folders aren't followed.

    Raises:
        InputError: no such folder, or no picture in it.
    """
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: expected a folder of pictures, found none; check the path.")
    found = dict(sorted(_walk(str(folder), "")))
    if not found:
        raise InputError(
            f"{folder}: expected pictures ({', '.join(sorted(SUFFIXES))}), found none in it or below; name another "
            "folder."
        )
    return found


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, State]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            elif Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file():
                state = entry.stat()
                yield f"{prefix}{entry.name}", State(state.st_size, state.st_mtime_ns)
