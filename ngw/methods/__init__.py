"""Every row of the tables, one file each; the file's name is its kind."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from ngw import io, registry
from ngw.errors import InputError
from ngw.methods.base import Method

__all__ = ["Method", "build", "kinds", "load"]


def kinds() -> list[str]:
    """The kinds that exist."""
    return registry.kinds(sys.modules[__name__])


def build(spec: Mapping[str, Any]) -> Method:
    """A method from its config entry, {"kind": ..., hyperparameters}."""
    return registry.build(sys.modules[__name__], Method, spec)


def load(path: str | os.PathLike) -> Method:
    """A fitted method from the file that `Method.save` wrote."""
    return load_with_metadata(path)[0]


def load_with_metadata(path: str | os.PathLike) -> tuple[Method, dict[str, str]]:
    """A fitted method and what its file says about how it was made."""
    arrays, head = io.read_tensors(path, "a fitted method", "kind")
    try:
        options, state = (_object(head, name) for name in ("params", "state"))
        method = build(options | {"kind": head["kind"]})
        if odd := sorted(options.keys() ^ method.params().keys()):
            raise InputError(
                f"params: expected exactly the options of {head['kind']}, found others, or none, for {odd}"
            )
        method._restore(arrays, state)
    except InputError as error:
        raise InputError(f"{path}: {str(error).rstrip('.')}; fit the method again.") from None
    return method, head


def _object(head: Mapping[str, str], name: str) -> dict[str, Any]:
    """An object that stands as JSON in a file's metadata."""
    try:
        found = json.loads(head[name])
    except (KeyError, ValueError) as error:
        raise InputError(f"{name}: expected JSON, found {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{name}: expected an object, found {found!r}")
    return found
