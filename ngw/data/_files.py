"""Helpers that the readers share: text and JSON files, and checked numbers, texts, lists and image paths from JSON."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ngw.errors import InputError, nearest


def present(paths: Iterable[str | os.PathLike], how: str) -> None:
    """Raise an `InputError` if one of these files is missing or can't be reached; how: the remedy."""
    asked_for = [Path(path) for path in paths]
    missing = [(path, reason) for path in asked_for if (reason := _unreachable(path))]
    if not missing:
        return
    first, reason = missing[0]
    try:
        beside = os.listdir(first.parent)
    except (OSError, ValueError):  # no folder, or no right to list it: then no name can be suggested
        beside = []
    suggestion = nearest(first.name, beside)
    remedy = f".{suggestion} Else {how}" if suggestion else f"; {how}"
    raise InputError(f"{first}: {reason} ({len(missing)} of {len(asked_for)} are missing){remedy}")


def _unreachable(path: Path) -> str:
    """Why there is no such file, or "" where there is one."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        return "no such file"
    except OSError as error:
        return str(error.strerror).lower()
    return ""


def read_text(path: str | os.PathLike) -> str:
    """A file's text in UTF-8, uncompressed where its name ends in .gz; an `InputError` names the file and the line."""
    packed = str(path).endswith(".gz")
    try:
        content = Path(path).read_bytes()
        content = gzip.decompress(content) if packed else content
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file; check root and names in the config.") from None
    except (OSError, ValueError, EOFError, zlib.error) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path}: expected a {'gzipped ' * packed}file that can be read, found: {reason}; mend its permissions, or "
            "fetch it again."
        ) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}: line {line}: expected UTF-8, found byte {error.object[error.start]:#04x}; convert the file "
            "(iconv -f latin1 -t utf-8, say)."
        ) from None


def read_json(path: str | os.PathLike) -> Any:
    """Read a JSON file, gzip-compressed where its name ends in .gz."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # broken; a number of thousands of digits; lists a thousand deep
        raise InputError(f"{path}: expected JSON, found {error}; delete it, and make or fetch it again.") from None


def take(entry: Any, key: str, where: str) -> Any:
    """entry[key], or an `InputError` that says where the key is missing."""
    if not isinstance(entry, dict) or key not in entry:
        content = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
        raise InputError(f"{where}: expected a field {key!r}, found {content}; is it a file of this layout?")
    return entry[key]


def take_list(entry: Any, key: str, where: str) -> list:
    """entry[key], which must be a list."""
    value = take(entry, key, where)
    if not isinstance(value, list):
        raise InputError(f"{where}: {key}: expected a list, found {type(value).__name__}; is it a file of this layout?")
    return value


def take_id(entry: Any, key: str, where: str) -> int:
    """entry[key], which must be a whole number of 64 bits."""
    value = take(entry, key, where)
    if not is_id(value):
        raise InputError(f"{where}: {key}: expected a whole number below 2**63, found {value!r:.80}; mend it.")
    return value


def take_text(entry: Any, key: str, where: str) -> str:
    """entry[key], which must be a text that UTF-8 can encode."""
    value = take(entry, key, where)
    check_text(value, f"{where}: {key}")
    return value


def is_id(value: Any) -> bool:
    """Whether a value is a whole number of 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def check_text(value: Any, where: str) -> None:
    """Check that a value is a text without half of a surrogate pair, which UTF-8 can't encode."""
    if not isinstance(value, str):
        raise InputError(f"{where}: expected a text, found {value!r:.80}; mend it.")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InputError(f"{where}: expected a text, found half of a surrogate pair in {value!r:.80}; mend it.")


def image_path(folder: str | os.PathLike, name: str, where: str) -> str:
    """The path of a named image below its folder; `a.png`, `./a.png` and `sub/../a.png` are the same.

    A name that leads outside (`../a.png`, `/a.png`) is an `InputError`.  Links in the folder are followed.
    """
    place = os.path.normpath(name)
    if not name or "\0" in name or os.path.isabs(name) or place.split(os.sep)[0] in (os.curdir, os.pardir):
        raise InputError(f"{where}: image {name!r}: expected a path below {folder}, found one outside; mend it.")
    return str(Path(folder) / place)
