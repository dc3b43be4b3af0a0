"""Checks of values: plain ones (names, texts, finite numbers, true, false, null, lists, mappings), and JSON Schemas.

Types are Python's: neither 16.0 nor true is a whole number. Every error is one sentence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ngw.errors import InputError, did_you_mean

DEEPEST = 30  # levels of lists and mappings; a value that contains itself has no end
WIDEST = 2**63  # numbers below it fit every library's integers
# How an error words the expectation of each keyword of the schema.
WANTED = {
    "type": "a value of type {}",
    "const": "{!r}",
    "enum": "one of {}",
    "minimum": "{} or more",
    "maximum": "{} or less",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "minItems": "{} entries or more",
    "maxItems": "{} entries at most",
    "minProperties": "{} entries or more",
    "uniqueItems": "each entry once",
}


def place(path: Sequence[str | int]) -> str:
    """A place in a config as text, such as `tables.retrieval.only[2].pairs`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def check_plain(where: str, value: Any, path: tuple[str | int, ...] = ()) -> None:
    """Raise an `InputError` for a value that YAML or JSON can hold, but no option accepts.

    Examples: keys that YAML doesn't read as text (`no`, `1`), NaN and infinity, dates, NUL in a text.
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


def check_schema(values: Any, schema: Mapping[str, Any], where: str = "config") -> None:
    """Raise an `InputError` for the first value that doesn't fit; for an unknown key it suggests the nearest one."""
    import jsonschema

    types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _integer, "number": _number})
    validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=types)
    for error in validator(schema).iter_errors(values):
        at = f"{where}: {place(list(error.absolute_path)) or 'top level'}"
        if error.validator == "additionalProperties":
            names = error.schema["properties"]
            key = next(key for key in error.instance if key not in names)
            raise InputError(f"{at}: unknown key {key!r}.{did_you_mean(key, names)}")
        value = json.dumps(error.instance, default=str)
        value = value if len(value) < 200 else f"{value[:200]} ..."
        raise InputError(f"{at}: expected {expectation(error)}, found {value}; mend it{_hint(error)}.")


def _integer(_: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(_: Any, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _hint(error: Any) -> str:
    """The remedy if YAML has read a text as another type, or a number as text, or nothing where a list is expected."""
    wanted = error.validator_value if error.validator == "type" else ""
    if wanted == "string" and isinstance(error.instance, bool | int | float):
        return ", in quotes if it is a text"
    if wanted == "number" and isinstance(error.instance, str):
        return ", YAML reads 1e-3 as text, write 1.0e-3"
    if wanted == "array" and error.instance is None and not error.schema.get("minItems"):
        return ", [] is none"
    return ""


def expectation(error: Any) -> str:
    """What the schema expects at the place of an error, in words."""
    if error.validator == "anyOf":
        return ", or ".join(expectation(each) for each in error.context)
    if error.validator == "required":
        return f"the key {next(key for key in error.validator_value if key not in error.instance)!r}"
    if error.validator == "pattern":
        return error.schema["title"]  # each pattern has its own words there
    return WANTED.get(error.validator, f"{error.validator} {{}}").format(error.validator_value)
