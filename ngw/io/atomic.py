"""A file or a folder is whole or absent: written under a temporary name, synced, renamed."""

from __future__ import annotations

import errno
import glob
import os
import platform
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ngw.errors import FullDisk, InputError

HOST = f"{zlib.crc32(platform.node().encode()):08x}"  # in the names of temporary files
MISPLACED = (NotADirectoryError, FileExistsError, IsADirectoryError, PermissionError)  # of a path, not of its content
ANOTHER = "name another, or make its folder writable"
DAY = 86_400  # seconds after which another host's temporary file counts as a killed process's


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it to `path`, on failure remove it.

    The path can become a folder, which replaces an earlier one.  A full disk is a `FullDisk` error that names the file;
    a path where nothing can be written is an `InputError`; nothing half-written stays.  Leftovers of killed writers of
    this file are removed first.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{HOST}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        yield temporary
        if temporary.is_dir():
            _remove(path)
        else:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except Exception as error:
        if isinstance(error, MISPLACED) and _is_about(error, path, temporary):
            check_writable(path)  # names what stands in the way, where it is a file or a folder
            reason = error.strerror or error
            raise InputError(f"{path}: expected a name that can be written, found {reason}; {ANOTHER}.") from None
        if not is_full(error):
            raise
        free = shutil.disk_usage(_above(path)).free
        raise FullDisk(
            f"{path}: expected room for the file, found {free:,} bytes on its disk, or a quota that is used up; free "
            "some and run again (nothing half-written is left)."
        ) from None
    finally:
        _remove(temporary)


def check_writable(path: Path) -> None:
    """Check, before anything is computed, that a file can be written at this path, or a new folder."""
    above = _above(path)
    if path.is_dir() or not above.is_dir() or not os.access(above, os.W_OK):
        obstacle = "a folder" if path.is_dir() else f"that {above} isn't a folder in which you can write"
        raise InputError(f"{path}: expected a name that can be written, found {obstacle}; {ANOTHER}.")


def check_apart(path: Path, *sources: Path | None) -> None:
    """Check, before anything is computed, that a file isn't one of those that are read: it would replace it."""
    for source in sources:
        if source is not None and path.exists() and source.exists() and path.samefile(source):
            raise InputError(f"{path}: expected the name of another file, found one that is read; name another.")


def _above(path: Path) -> Path:
    """The nearest existing thing above a path; a link that leads nowhere is one."""
    return next(folder for folder in path.absolute().parents if os.path.lexists(folder))


def _is_about(error: OSError, path: Path, temporary: Path) -> bool:
    """Whether an error is about the place of a file, and not about another file that its writer opened."""
    places = {str(place) for place in (temporary, path, *path.parents)}
    return error.filename in places or str(temporary) in str(error)  # pyarrow's errors name files in words only


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk, or a quota, is full; `safetensors` says so in words only."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or f"(os error {errno.ENOSPC})" in str(error)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove killed writers' temporary files of this file: dead processes' of this host, old ones of other hosts.

    Another process may be writing the same file now; its temporary stays.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        name = re.fullmatch(rf"\.{re.escape(path.name)}\.(\d+)-([0-9a-f]{{8}})-[0-9a-f]{{8}}\.tmp", left.name)
        if name and (not _alive(int(name[1])) if name[2] == HOST else _age(left) > DAY):
            _remove(left)


def _alive(pid: int) -> bool:
    """Whether a process of this host runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _age(path: Path) -> float:
    """Seconds since a file was last written; 0 if it has just gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
