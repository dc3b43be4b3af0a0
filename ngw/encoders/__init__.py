"""Frozen encoders, one file a family; `build(spec)` creates one without loading weights or torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ngw import registry
from ngw.encoders.base import Encoder, Encoding

__all__ = ["Encoder", "Encoding", "build", "kinds"]


def kinds() -> list[str]:
    """The names of the families."""
    return registry.kinds("ngw.encoders")


def build(spec: Mapping[str, Any]) -> Encoder:
    """An encoder from its config entry, {"kind": ..., options}."""
    return registry.build("ngw.encoders", Encoder, spec)
