"""A file from a real server on loopback that breaks off, lies and stalls: it is whole and as published, or absent."""

from __future__ import annotations

import hashlib
import random
import socket

import pytest

from ngw.download.http import Patience, fetch
from ngw.errors import InputError

CONTENT = random.Random(0).randbytes(1_000_000)
SIZE, DIGEST = len(CONTENT), f"md5:{hashlib.md5(CONTENT).hexdigest()}"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(tries=3, wait=0.01, timeout=0.5)


def fetched(server, folder, *faults, size=SIZE, digest=DIGEST, content=CONTENT, patience=QUICK):
    return fetch(server.at("/a.zip", content, *faults), folder / "a.zip", size, digest, patience)


def ranges(server):
    return [asked for _, path, asked in server.asked if path == "/a.zip"]


def test_a_file_arrives_whole_and_nothing_else_is_left(server, tmp_path):
    assert fetched(server, tmp_path) == SHA256
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("fault", ["breaks", "stalls", "longer"])
def test_a_break_in_the_middle_is_gone_on_from(fault, server, tmp_path):
    assert fetched(server, tmp_path, fault, size=None) == SHA256
    first, *later = ranges(server)
    assert first is None
    assert later
    assert None not in later
    assert server.sent < SIZE * 1.2  # what was there wasn't sent again


def test_a_connection_that_keeps_breaking_is_told_and_a_later_call_goes_on(server, tmp_path):
    with pytest.raises(InputError, match=r"a connection that broke 1 times .* bytes, which are kept; run again"):
        fetched(server, tmp_path, "breaks", "503", patience=QUICK._replace(tries=1))
    kept = (tmp_path / "a.zip.part").stat().st_size
    assert kept > SIZE // 3
    assert not (tmp_path / "a.zip").exists()
    assert fetched(server, tmp_path) == SHA256
    assert ranges(server)[-1] == f"bytes={kept}-"


def test_a_server_that_breaks_off_each_time_is_gone_on_from_while_there_is_progress(server, tmp_path):
    assert fetched(server, tmp_path, *["breaks"] * 4, patience=QUICK._replace(tries=1)) == SHA256


def test_a_file_that_has_changed_since_the_break_is_fetched_anew(server, tmp_path):
    with pytest.raises(InputError):
        fetched(server, tmp_path, "breaks", "503", patience=QUICK._replace(tries=1))
    other = CONTENT[::-1]
    assert fetched(server, tmp_path, size=SIZE, digest=None, content=other) == hashlib.sha256(other).hexdigest()


@pytest.mark.parametrize("faults", [("breaks", "plain"), ("breaks", "other part")])
def test_a_server_that_cannot_go_on_begins_anew(faults, server, tmp_path):
    assert fetched(server, tmp_path, *faults) == SHA256


def test_an_answer_without_a_version_is_not_gone_on_from(server, tmp_path):
    url = server.at("/a.zip", CONTENT, "plain")
    (tmp_path / "a.zip.part").write_bytes(b"from elsewhere")
    assert fetch(url, tmp_path / "a.zip", SIZE, DIGEST, QUICK) == SHA256


@pytest.mark.parametrize("digest", [DIGEST, f"sha256:{SHA256}"])
def test_wrong_bytes_are_refused_and_removed(digest, server, tmp_path):
    with pytest.raises(InputError, match=rf"expected 1,000,000 bytes of {digest}, found (md5|sha256) .*; removed"):
        fetched(server, tmp_path, "wrong", digest=digest)
    assert not (tmp_path / "a.zip").exists()
    assert not (tmp_path / "a.zip.part").exists()
    assert fetched(server, tmp_path, digest=digest) == SHA256


@pytest.mark.parametrize("status", ["401", "403", "404", "410"])
def test_a_refusal_names_the_status_and_where_a_file_can_be_put(status, server, tmp_path):
    with pytest.raises(InputError, match=rf"found status {status} .* docs/how-to/download.md .* put it at .*a\.zip, "):
        fetched(server, tmp_path, status)
    assert len(server.asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_busy_is_asked_again(server, tmp_path):
    assert fetched(server, tmp_path, "503", "429") == SHA256
    assert len(server.asked) == 3


def test_redirects_are_followed_but_not_in_a_circle_nor_to_a_file(server, tmp_path):
    server.at("/a.zip", CONTENT)
    assert fetch(server.at("/moved", b"", "to /a.zip"), tmp_path / "a.zip", SIZE, DIGEST, QUICK) == SHA256
    with pytest.raises(InputError, match="expected the file, found Exceeded 30 redirects"):
        fetch(server.at("/circle", b"", *["to /circle"] * 40), tmp_path / "b.zip", None, None, QUICK)
    with pytest.raises(InputError, match="expected the file, found No connection adapters"):
        fetch(server.at("/file", b"", "to file:///etc/passwd"), tmp_path / "c.zip", None, None, QUICK)


def test_a_slow_server_is_waited_for(server, tmp_path):
    assert fetched(server, tmp_path, "slow") == SHA256
    assert len(server.asked) == 1


@pytest.mark.parametrize(("fault", "told"), [("longer", "1,001,000"), ("shorter", "999,000")])
def test_a_length_that_is_not_the_published_one_is_refused_before_anything_is_fetched(fault, told, server, tmp_path):
    with pytest.raises(InputError, match=f"expected 1,000,000 bytes, as published, found {told} announced"):
        fetched(server, tmp_path, fault)
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_published_are_not_written(server, tmp_path):
    with pytest.raises(InputError, match="expected 1,000,000 bytes, found more"):
        fetched(server, tmp_path, "endless")
    assert (tmp_path / "a.zip.part").stat().st_size <= SIZE


def test_a_shorter_file_of_unknown_size_is_told_by_its_digest(server, tmp_path):
    with pytest.raises(InputError, match="found md5"):
        fetched(server, tmp_path, "shorter", size=None)


def test_no_server_is_one_sentence(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.zip"
        with pytest.raises(InputError, match=r"broke 2 times \(.*refused.*\) after 0 bytes"):
            fetch(url, tmp_path / "a.zip", None, None, QUICK._replace(tries=2))
