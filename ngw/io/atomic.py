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

from ngw.errors import FullDisk

HOST = f"{zlib.crc32(platform.node().encode()):08x}"  # in the names of temporary files
DAY = 86_400  # seconds after which another host's temporary file counts as a killed process's


@contextmanager
def atomic(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success fsync it and rename it to `path`, on failure remove it.

    The path can become a folder, which replaces an earlier one.  A full disk is a `FullDisk` error that names the file;
    nothing half-written stays.  Leftovers of killed writers of this file are removed first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{HOST}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        if temporary.is_dir():
            _remove(path)
        else:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except Exception as error:
        if not is_full(error):
            raise
        free = shutil.disk_usage(path.parent).free
        raise FullDisk(
            f"{path}: expected room for the file, found {free:,} bytes on its disk, or a quota that is used up; free "
            "some and run again (nothing half-written is left)."
        ) from None
    finally:
        _remove(temporary)


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk, or a quota, is full; `safetensors` says so in words only."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or f"(os error {errno.ENOSPC})" in str(error)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
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
