"""Every method of the tables, one file each; the file's name is its kind."""

from __future__ import annotations

from ngw import registry
from ngw.methods.base import Method, build, load, load_with_metadata

__all__ = ["Method", "build", "kinds", "load", "load_with_metadata"]


def kinds() -> list[str]:
    """The kinds that exist."""
    return registry.kinds("ngw.methods")
