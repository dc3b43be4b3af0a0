"""Every row of the tables, one file each; the file's name is its kind."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from ngw import io, registry
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
    method = build({"kind": head["kind"], **json.loads(head["params"])})
    for name, value in {**arrays, **json.loads(head["state"])}.items():
        setattr(method, name, value)
    return method, head
