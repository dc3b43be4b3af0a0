"""A file over HTTP: resumed after a break, checked, whole or absent.

By requests, since pooch and torch.hub start again after a break.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from pathlib import Path
from typing import Any, NamedTuple

import requests
from requests.exceptions import ChunkedEncodingError, RequestException
from tqdm import tqdm

from ngw import __version__, io
from ngw.errors import FullDisk, InputError
from ngw.io.atomic import is_full

BLOCK = 1 << 16  # bytes read at once, and lost at most in a break
AGAIN = (408, 425, 429, 500, 502, 503, 504)  # statuses after which a later request can succeed


class Patience(NamedTuple):
    """How long to wait for a server."""

    tries: int = 6  # breaks in a row without a new byte
    wait: float = 1.0  # seconds after the first break, doubled after each further one
    timeout: float = 60.0  # seconds without a byte


PATIENCE = Patience()


class Broken(Exception):
    """An answer that ended early, or a status of `AGAIN`: worth another try."""


def fetch(
    url: str, path: Path, size: int | None = None, digest: str | None = None,
    patience: Patience = PATIENCE, stop: threading.Event | None = None,
) -> str:  # fmt: skip
    """Fetch a file; returns its SHA-256.  A break leaves `{path}.part`, which this or a later call resumes.

    size: in bytes.  digest: "md5:..." or "sha256:...".  Either may be unknown.  stop: once set, the call ends early.

    Raises:
        InputError: no file at the address, a connection that keeps breaking, or other bytes than the published ones
            (they are removed).
        FullDisk: no room for the file.
    """
    part, stop = path.with_name(f"{path.name}.part"), stop or threading.Event()
    most, breaks = _length(part), 0
    while True:
        try:
            _go_on(url, part, size, patience.timeout, stop)
            break
        except (Broken, requests.ConnectionError, requests.Timeout, ChunkedEncodingError) as error:
            breaks = 0 if _length(part) > most else breaks + 1
            most = max(most, _length(part))
            if breaks >= patience.tries:
                raise InputError(
                    f"{url}: expected the file, found a connection that broke {breaks} times ({_reason(error)}) after "
                    f"{most:,} bytes, which are kept; run again once the network is better."
                ) from None
            stop.wait(patience.wait * 2 ** max(breaks - 1, 0))
        except RequestException as error:  # circular redirects, an invalid address
            raise InputError(f"{url}: expected the file, found {_reason(error)}; check the address.") from None
        except OSError as error:
            if not is_full(error):
                raise
            free = shutil.disk_usage(part.parent).free
            raise FullDisk(
                f"{part}: expected room for the file, found {free:,} bytes free; free some, run again."
            ) from None
    sha256 = verify(part, url, size, digest)
    part.replace(path)
    _state(part).unlink(missing_ok=True)
    return sha256


def verify(path: Path, url: str, size: int | None, digest: str | None) -> str:
    """A file's SHA-256; a file of another size or digest than published is removed with an `InputError`."""
    algorithm, _, wanted = (digest or "sha256:").partition(":")
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in {algorithm, "sha256"}}
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            for each in hashes.values():
                each.update(block)
    found = hashes[algorithm].hexdigest()
    flaw = f"{_length(path):,} bytes" if size not in (None, _length(path)) else ""
    flaw = flaw or (f"{algorithm} {found}" if wanted and found != wanted else "")
    if flaw:
        path.unlink()
        expected = f"{size:,} bytes" if size else "bytes"
        raise InputError(f"{url}: expected {expected} of {digest or 'any digest'}, found {flaw}; removed, run again.")
    return hashes["sha256"].hexdigest()


def _go_on(url: str, part: Path, size: int | None, timeout: float, stop: threading.Event) -> None:
    """One connection: from where the last one ended, if it is still the same file, to the file's end."""
    kept = io.read_json(_state(part)) if part.is_file() and _state(part).is_file() else {}
    done = _length(part) if kept.get("url") == url and kept.get("version") else 0
    headers = {"Accept-Encoding": "identity", "User-Agent": f"ngw/{__version__}"}
    if done:
        headers |= {"Range": f"bytes={done}-", "If-Range": kept["version"]}
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as answer:
        resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        if answer.status_code in (206, 416) and not resumed:
            part.unlink(missing_ok=True)
            raise Broken("the server sends another part than requested")
        if answer.status_code in AGAIN:
            raise Broken(f"status {answer.status_code}")
        if answer.status_code not in (200, 206):
            raise InputError(
                f"{url}: expected the file, found status {answer.status_code} ({answer.reason}); see "
                "docs/how-to/download.md for its page, or get it elsewhere and put it at "
                f"{part.with_suffix('')}, where it will be checked."
            )
        done = done if resumed else 0
        length = answer.headers.get("Content-Length", "")
        told = done + int(length) if length.isdecimal() else None
        if size is not None and told not in (None, size):
            raise InputError(
                f"{url}: expected {size:,} bytes, as published, found {told:,} announced by the server; it has another "
                "file now, or a page in its place: check the address."
            )
        if not resumed:
            part.unlink(missing_ok=True)  # first, so that an old part isn't taken for one of the version noted now
            io.write_json(_state(part), {"url": url, "version": _version(answer.headers)})
        _receive(answer, part, done, size if told is None else told, stop)


def _receive(answer: Any, part: Path, done: int, total: int | None, stop: threading.Event) -> None:
    """Append an answer's bytes to the part, with a progress bar in a terminal."""
    bar = tqdm(total=total, initial=done, unit="B", unit_scale=True, desc=part.stem[:40], disable=None, leave=False)
    with open(part, "ab" if done else "wb") as file, bar:
        for block in answer.iter_content(BLOCK):
            if stop.is_set():
                raise InputError(f"{part}: expected the rest of the file, found an interruption; run again to go on.")
            done += len(block)
            if total is not None and done > total:
                raise InputError(f"{answer.url}: expected {total:,} bytes, found more; check the address.")
            file.write(block)
            bar.update(len(block))
    if total is not None and done < total:
        raise Broken("the file ended early")


def _state(part: Path) -> Path:
    """The file beside a part with its address and version."""
    return part.with_name(f"{part.name}.json")


def _version(headers: Any) -> str | None:
    """The version of a file: a strong ETag, or the time of its last change; without either, no part is resumed."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _reason(error: Exception) -> str:
    """A library's error in a few words: of the error that it wraps, if any."""
    inner = getattr(error.args[0], "reason", None) if error.args else None
    return " ".join(str(inner or error).split())[:160] or type(error).__name__
