"""The images of a folder: their paths, sizes and times."""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ngw.errors import InputError
from ngw.io import folders

SUFFIXES = {
    ".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".jp2", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff",
    ".webp",
}  # fmt: skip
NAMED = 5  # suffixes of other files that are named


class State(NamedTuple):
    """A file's size in bytes and the time of its last change in ns, by which a changed file is known."""

    size: int
    time: int


def pictures(folder: str | os.PathLike) -> dict[str, State]:
    """The images of `found` alone."""
    return found(folder)[0]


def found(folder: str | os.PathLike) -> tuple[dict[str, State], str]:
    """{path below the folder: state} of all files with an image's suffix, sorted by name; and a few words on the
    other files, "" if there are none.

    Files and folders whose names begin with a dot are left out; links are followed, and one that leads nowhere counts
    as an image that can't be read.

    Raises:
        InputError: no such folder, no image in it, or links in a circle.
    """
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: expected a folder of images, found none; check the path.")
    states, others = {}, Counter[str]()
    base = str(Path(folder))
    for path in folders.files(base):
        suffix = Path(path).suffix.lower()
        state = _state(path) if suffix in SUFFIXES else None
        if state is None:
            others[suffix or "no suffix"] += 1
        else:
            states[os.path.relpath(path, base)] = state
    rest = _words(others)
    if not states:
        raise InputError(
            f"{folder}: expected images ({kinds()}), found {rest or 'none'} in it or below; name another folder."
        )
    return dict(sorted(states.items())), rest


def kinds() -> str:
    """The suffixes of images, for messages."""
    return ", ".join(sorted(SUFFIXES))


def _state(path: str) -> State | None:
    """A file's state, zeros for a link that leads nowhere; None for what is no file, such as a pipe."""
    try:
        state = os.stat(path)
    except OSError:
        return State(0, 0)
    return State(state.st_size, state.st_mtime_ns) if stat.S_ISREG(state.st_mode) else None


def _words(others: Counter[str]) -> str:
    """How many files of other kinds there are, and their most frequent suffixes."""
    n = others.total()
    names = [suffix for suffix, _ in others.most_common(NAMED)] + ["..."] * (len(others) > NAMED)
    return f"{n:,} file{'s' * (n > 1)} of other kinds ({', '.join(names)})" if n else ""
