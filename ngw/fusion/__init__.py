"""Fusion networks over the tokens of two frozen encoders, one file a kind; `build(spec)` creates one without torch.

A spec checks and keeps its options; its `network` holds the weights, and imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ngw import registry
from ngw.features.basis import Basis, Tokens, token_unit
from ngw.fusion.base import Fusion, Row

if TYPE_CHECKING:
    from ngw.fusion._alignment import Maps
    from ngw.methods import Method

__all__ = ["Basis", "Fusion", "Row", "Tokens", "align", "build", "kinds", "token_unit"]


def kinds() -> list[str]:
    """The names of the kinds."""
    return registry.kinds("ngw.fusion")


def build(spec: Mapping[str, Any]) -> Row:
    """A row of the table from its config entry, {"kind": ..., options}."""
    return registry.build("ngw.fusion", Row, spec)


def align(method: Method, a: Basis | None = None, b: Basis | None = None) -> Maps:
    """T_AB and T_BA of a fitted method as torch modules over tokens; a, b: the bases of kept tokens."""
    from ngw.fusion._alignment import align

    return align(method, a, b)
