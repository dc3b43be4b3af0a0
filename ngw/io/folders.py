"""The files below a folder, by links too."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ngw.errors import InputError


def files(folder: str | os.PathLike[str], above: tuple[str, ...] = ()) -> Iterator[str]:
    """The paths of all that lies in a folder or below and isn't a folder itself, folder by folder, sorted by name.

    Links to folders are followed; a link that leads nowhere, or to itself, counts as a file.  Names that begin with a
    dot are left out.  above: the real paths of the folders that led to this one.

    Raises:
        InputError: a folder that can't be read, or a link to a folder that it lies in.
    """
    real = os.path.realpath(folder)
    if real in above:
        raise InputError(f"{folder}: expected other files, found a folder that it lies in, by a link; remove the link.")
    for entry in entries(folder):
        if is_folder(entry):
            yield from files(entry.path, (*above, real))
        else:
            yield entry.path


def entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """What lies in a folder, sorted by name, without names that begin with a dot."""
    try:
        with os.scandir(os.fspath(folder)) as found:
            return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(
            f"{folder}: expected a folder that can be read, found: {error.strerror}; mend its permissions."
        ) from None


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()  # is_dir fails on a link to itself
