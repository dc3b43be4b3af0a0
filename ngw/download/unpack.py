"""Archives unpacked into a folder of their own: no name leads out of it, no links, no more than the disk holds."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from ngw.errors import FullDisk, InputError

ENDINGS = (".zip", ".tar.gz", ".tgz", ".tar")
FAULTS = (  # of archives that are cut, encrypted or of an unknown method, and of files that are no archives
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, NotImplementedError,
    FileExistsError, NotADirectoryError, UnicodeError,
)  # fmt: skip


class Member(NamedTuple):
    """A file of an archive."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, folder: Path, inside: str, wanted: Sequence[str]) -> None:
    """Unpack some paths of an archive into `folder`, which must not exist; all names are checked first.

    inside: the archive's folder that has them.  wanted: files and folders below it.

    Raises:
        InputError: an archive that is broken, has a name that leads elsewhere, a link or a device, or lacks a path.
    """
    try:
        with ExitStack() as open_files:
            members = [m for m in _members(archive, open_files) if _below(m.name, inside, wanted)]
            needed, free = sum(m.size for m in members), shutil.disk_usage(archive.parent).free
            if needed > free:
                raise FullDisk(f"{archive}: expected {needed:,} bytes for its content, found {free:,} free; free some.")
            for member in members:
                target = folder / PurePosixPath(member.name).relative_to(inside)
                target.parent.mkdir(parents=True, exist_ok=True)
                source = member.open()
                assert source is not None, member.name
                with source, open(target, "xb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
    except FAULTS as error:
        reason = " ".join(str(error).split()) or "none"
        raise InputError(f"{archive}: expected a whole archive, found {reason}; fetch it again.") from None
    os.sync()  # once for all files, before any is renamed
    missing = [name for name in wanted if not (folder / name).exists()]
    if missing:
        raise InputError(
            f"{archive}: expected {PurePosixPath(inside, missing[0])} in it, found none; check the address."
        )


def _members(archive: Path, open_files: ExitStack) -> Iterator[Member]:
    """The files of a zip or a tar; members that are neither file nor folder are refused."""
    if archive.suffix == ".zip":
        packed = open_files.enter_context(zipfile.ZipFile(archive))
        for info in packed.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            _check(archive, info.orig_filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
            if not info.is_dir():
                yield Member(info.filename, info.file_size, partial(packed.open, info))
    else:
        tar = open_files.enter_context(tarfile.open(archive))  # noqa: SIM115
        for entry in tar:
            _check(archive, entry.name, entry.isfile() or entry.isdir())
            if entry.isfile():
                yield Member(entry.name, entry.size, partial(tar.extractfile, entry))


def _check(archive: Path, name: str, plain: bool) -> None:
    """Refuse a name that leads elsewhere, and a member that is neither file nor folder."""
    parts: Any = PurePosixPath(name).parts
    if not plain:
        raise InputError(f"{archive}: expected files and folders, found {name!r}, a link or a device; don't use it.")
    if not name or name.startswith("/") or ".." in parts or set("\\\0:") & set(name):
        raise InputError(
            f"{archive}: expected names below one folder, found {name!r}, which leads elsewhere; don't use it."
        )


def _below(name: str, inside: str, wanted: Sequence[str]) -> bool:
    """Whether an archive's file is wanted."""
    path = PurePosixPath(name)
    return any(path.is_relative_to(PurePosixPath(inside, each)) for each in wanted)
