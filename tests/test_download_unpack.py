"""Malicious and broken archives: nothing is written outside their folder."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from ngw.download.unpack import unpack
from ngw.errors import FullDisk, InputError


def zipped(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def tarred(path: Path, *entries: tarfile.TarInfo | str) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry) if isinstance(entry, str) else entry
            info.size = 4 if info.isfile() else 0
            archive.addfile(info, io.BytesIO(b"text") if info.isfile() else None)
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def refused(archive: Path, match: str, wanted=("a",), error=InputError) -> None:
    """The archive is refused, and its folder's surroundings are as they were."""
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(error, match=match):
        unpack(archive, archive.parent / "folder", "", wanted)
    assert [path for path in sorted(archive.parent.rglob("*")) if path not in before] == []


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
def test_what_is_wanted_is_taken_from_its_folder_and_nothing_else(name, tmp_path):
    names = ["top/a/b/one.txt", "top/a/two.txt", "top/ab.txt", "other/a/three.txt"]
    archive = (
        zipped(tmp_path / name, **dict.fromkeys(names, "text")) if ".zip" in name else tarred(tmp_path / name, *names)
    )
    unpack(archive, tmp_path / "folder", "top", ["a"])
    found = sorted(path.relative_to(tmp_path / "folder").as_posix() for path in (tmp_path / "folder").rglob("*"))
    assert found == ["a", "a/b", "a/b/one.txt", "a/two.txt"]
    assert (tmp_path / "folder/a/two.txt").read_text() == "text"


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/tmp/a", "a/..", "..", "a\\..\\b", "C:a", "..\\a"])
def test_a_name_that_leads_elsewhere_is_refused_wherever_it_stands(name, tmp_path):
    refused(zipped(tmp_path / "x.zip", **{"a": "fine", name: "harm"}), "which leads elsewhere; don't use it")
    refused(tarred(tmp_path / "x.tar.gz", "a", name), "which leads elsewhere; don't use it")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path):
    refused(tarred(tmp_path / "x.tar.gz", "a", special("b", kind, "/etc/passwd")), "found 'b', a link or a device")


def test_a_link_in_a_zip_is_refused(tmp_path):
    archive, link = zipped(tmp_path / "x.zip", a="fine"), zipfile.ZipInfo("b")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr(link, "/etc/passwd")
    refused(archive, "found 'b', a link or a device")


def test_an_archive_of_more_than_the_disk_holds_is_refused_before_it_is_unpacked(tmp_path):
    archive = zipped(tmp_path / "x.zip", **{f"a/{k}": "" for k in range(20_000)})
    content = bytearray(archive.read_bytes())
    at = content.find(b"PK\x01\x02")
    while at >= 0:  # 20,000 files of 4 GB each, by the directory at the zip's end
        content[at + 24 : at + 28] = (2**32 - 2).to_bytes(4, "little")
        at = content.find(b"PK\x01\x02", at + 46)
    archive.write_bytes(content)
    refused(archive, "for its content, found .* free; free some", error=FullDisk)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
@pytest.mark.parametrize("keep", [0, 30, -40])
def test_an_archive_that_is_cut_is_refused(name, keep, tmp_path):
    archive = zipped(tmp_path / name, a="text" * 99) if ".zip" in name else tarred(tmp_path / name, "a")
    archive.write_bytes(archive.read_bytes()[:keep])
    refused(archive, "expected a whole archive, found .*; fetch it again")


def test_a_page_in_place_of_an_archive_is_refused(tmp_path):
    (tmp_path / "x.zip").write_text("<html>log in</html>")
    refused(tmp_path / "x.zip", "expected a whole archive, found File is not a zip file")


def test_a_flipped_bit_in_a_zip_is_seen(tmp_path):
    archive = zipped(tmp_path / "x.zip", a="text" * 99)
    content = bytearray(archive.read_bytes())
    content[100] ^= 1
    archive.write_bytes(content)
    with pytest.raises(InputError, match="Bad CRC-32"):
        unpack(archive, tmp_path / "folder", "", ["a"])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_and_a_file_that_is_a_folder_too_are_refused(tmp_path):
    archive = zipped(tmp_path / "x.zip", a="one")
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr("a", "two")
    with pytest.raises(InputError, match="File exists"):
        unpack(archive, tmp_path / "folder", "", ["a"])
    with pytest.raises(InputError, match="expected a whole archive"):
        unpack(zipped(tmp_path / "y.zip", **{"a": "one", "a/b": "two"}), tmp_path / "other", "", ["a"])


def test_an_archive_without_what_is_wanted_is_refused(tmp_path):
    refused(zipped(tmp_path / "x.zip", b="text"), r"expected a in it, found none; check the address")


def test_files_come_without_their_rights(tmp_path):
    archive, program = zipped(tmp_path / "x.zip"), zipfile.ZipInfo("a")
    program.external_attr = (stat.S_IFREG | stat.S_ISUID | 0o777) << 16
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr(program, "text")
    unpack(archive, tmp_path / "folder", "", ["a"])
    assert not os.stat(tmp_path / "folder/a").st_mode & (stat.S_ISUID | stat.S_IXUSR)
