"""What a config and the command line may hold: names, texts, finite numbers, true, false, null, lists and mappings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ngw.errors import InputError

DEEPEST = 30  # levels of lists and mappings; what contains itself has no end
WIDEST = 2**63  # numbers below it fit every library's integers


def place(path: Sequence[str | int]) -> str:
    """A place in a config in words, such as `tables.retrieval.only[2].pairs`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def check_plain(where: str, value: Any, path: tuple[str | int, ...] = ()) -> None:
    """Raise an `InputError` for a value that YAML or JSON can hold, but that no option means.

    Such are keys that YAML reads as something else than text (`no`, `1`), NaN and infinity, dates, NUL in a text.
    """
    at = ": ".join(part for part in (where, place(path)) if part)
    if len(path) > DEEPEST:
        raise InputError(f"{at:.80}: expected {DEEPEST} levels at most, found more; does it contain itself?")
    if isinstance(value, Mapping):
        for key, each in value.items():
            if not (isinstance(key, str) and key.isprintable()):
                raise InputError(f"{at}: expected names, found {key!r}, as YAML reads it; write a text, in quotes.")
            check_plain(where, each, (*path, key))
    elif isinstance(value, list | tuple):
        for k, each in enumerate(value):
            check_plain(where, each, (*path, k))
    elif isinstance(value, str):
        if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
            raise InputError(f"{at}: expected a text, found NUL or half a character in {value!r:.80}; mend it.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{at}: expected a finite number, found {value}; write one.")
    elif isinstance(value, int):
        if abs(value) >= WIDEST:
            raise InputError(f"{at}: expected a number below 2^63, found one of {value.bit_length()} bits; lower it.")
    elif value is not None:
        raise InputError(f"{at}: expected a text or a number, found {value!r}, as YAML reads it; write it in quotes.")
