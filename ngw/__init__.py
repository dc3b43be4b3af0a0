"""Neural Geometry Warping: align frozen encoders by entropic optimal transport.

`import ngw` is light (no torch); `ngw.Warp`, `ngw.compare`, `ngw.DualEncoder` and `ngw.ot` are loaded when they are
first used.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"
__all__ = ["DualEncoder", "Warp", "__version__", "compare", "methods", "ot"]


def __getattr__(name: str):
    if name == "Warp":
        return importlib.import_module("ngw.methods.warp").Warp
    if name == "DualEncoder":
        return importlib.import_module("ngw.dual.encoder").DualEncoder
    if name == "compare":
        return importlib.import_module("ngw.comparison").compare
    if name in ("methods", "ot"):
        return importlib.import_module(f"ngw.{name}")
    raise AttributeError(f"module 'ngw' has no attribute {name!r}")
