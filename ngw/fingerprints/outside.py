"""Digests of the sources outside `results/` that results depend on: data roots, model folders, arrays, packages."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import quote

from ngw import io
from ngw.encoders import _packages
from ngw.errors import InputError
from ngw.io import digests

MANY = 100  # files; in a folder with more, names, sizes and times stand for the content
SMALL = 1 << 20  # bytes; the digest of a smaller file isn't kept
KEPT = Path(".snakemake/ngw-digests.json")  # digests of large files, by path, size and time, kept between starts
PACKAGE = "package:"
SAFE = "/:\\"  # kept in a path; other marks, such as spaces, are percent-encoded
RESULTS = "results"
MISSING = "missing"  # the state of a source that isn't there


def fingerprint(sources: Iterable[str]) -> str:
    """The present content of files and folders as text: `path:digest` of each, in order.

    sources: paths, or `package:<name>`, an installed package.  A file counts by its content; a folder by its files'
    contents or, if they are many, by their names, sizes and times of change (a package's without times, which are the
    installation's).  Names that start with a dot don't count, nor does the workflow's own `results`.
    """
    return " ".join(f"{quote(source, safe=SAFE)}:{_digest(source)}" for source in dict.fromkeys(sources))


def check_present(sources: Iterable[str], made: str) -> None:
    """An `InputError` if a source from which a present file was made is lost; made: that file."""
    for source in dict.fromkeys(sources):
        if _digest(source) == MISSING:
            raise InputError(
                f"{source}: expected the source of {made}, found no such file, folder or package; mend its name in the "
                f"config, or put it back. {made} is kept; to go on with it as it is: --rerun-triggers mtime."
            )


def content(source: str) -> str:
    """The SHA-256 of a file, a folder or `package:<name>`: of the names below it and of all bytes, read anew."""
    place = _packages.folder(source.removeprefix(PACKAGE)) if source.startswith(PACKAGE) else Path(source)
    if not place.exists():
        raise InputError(f"{source}: no such file or folder; check the path.")
    if place.is_file():
        return digests.of(place)
    lines = [f"{name} {digests.of(place / name)}" for name, _, _ in sorted(_files(str(place), set()))]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


@cache
def _digest(source: str) -> str:
    """Ten digits of one source's state, or MISSING or "unreadable", which its stage will explain."""
    try:
        place = _packages.folder(source.removeprefix(PACKAGE)) if source.startswith(PACKAGE) else Path(source)
    except InputError:
        return MISSING
    try:
        if place.is_file():
            return _content(place)[:10]
        return _manifest(place, dated=not source.startswith(PACKAGE)) if place.is_dir() else MISSING
    except PermissionError:
        return "unreadable"


def _manifest(place: Path, dated: bool) -> str:
    """Ten digits of a folder's files: of their contents if they are few, else of names, sizes and times."""
    files = sorted(_files(str(place), set()))
    if len(files) <= MANY:
        lines = [f"{name} {_content(Path(place, name))}" for name, _, _ in files]
    else:
        lines = [f"{name} {size} {time if dated else ''}" for name, size, time in files]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:10]


def _files(folder: str, above: set[tuple[int, int]], prefix: str = "") -> Iterator[tuple[str, int, int]]:
    """(path below the first folder, bytes, time in ns) of all files; links are followed, a circle only once."""
    here = os.stat(folder)
    if (here.st_dev, here.st_ino) in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__pycache__":
                continue
            if entry.name == RESULTS and os.path.relpath(entry.path) == RESULTS:
                continue
            if entry.is_dir():
                yield from _files(entry.path, above | {(here.st_dev, here.st_ino)}, f"{prefix}{entry.name}/")
            elif entry.is_file():
                state = entry.stat()
                yield f"{prefix}{entry.name}", state.st_size, state.st_mtime_ns


def _content(path: Path) -> str:
    """A file's SHA-256; for a large file it is kept, and computed anew when size, times or inode change.

    The time of the last change of the entry (ctime) can't be set: it tells of a file that was written over with the
    size and time of the one before, as by `cp -p`.
    """
    state = path.stat()
    if state.st_size < SMALL:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    place, now = str(path.resolve()), [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
    kept = _kept()
    if place not in kept or kept[place][0] != now:
        with open(path, "rb") as file:
            kept[place] = [now, hashlib.file_digest(file, "sha256").hexdigest()]
        io.write_text(KEPT, json.dumps(kept, indent=1))
    return kept[place][1]


@cache
def _kept() -> dict[str, list]:
    """The digests kept by an earlier start; empty without one, or if its file is broken."""
    try:
        entries = json.loads(KEPT.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}
