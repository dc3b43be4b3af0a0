"""One file per component: the file's name is its key, and nothing is registered by hand."""

from __future__ import annotations

import importlib
import inspect
import math
import os
import pkgutil
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, TypeVar

from ngw.errors import InputError, did_you_mean

T = TypeVar("T")


def _whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return -math.inf < value < math.inf  # False for NaN; True for every whole number, however large


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and _finite(value)


def _names(value: Any, part: Callable[[Any], bool]) -> bool:
    return isinstance(value, Mapping) and all(isinstance(k, str) and part(v) for k, v in value.items())


def _text(value: Any) -> bool:
    return isinstance(value, str)


# For each annotation: the expected value in words, and its check.
TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("a whole number", _whole),
    "float": ("a number", _number),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "str": ("a text", _text),
    "None": ("null", lambda value: value is None),
    "os.PathLike": ("a path", lambda value: isinstance(value, os.PathLike)),
    "Mapping[str, int]": ("whole numbers by name", lambda value: _names(value, _whole)),
    "Mapping[str, str]": ("texts by name", lambda value: _names(value, _text)),
    "dict[str, float]": ("numbers by name", lambda value: _names(value, _number)),
}


def kinds(package: str) -> list[str]:
    """The keys of a package's components: its file names, `_` written as `-`, without `base` and private ones."""
    names = (module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__))
    return sorted(name.replace("_", "-") for name in names if name != "base" and not name.startswith("_"))


def component(package: str, kind: str, base: type[T]) -> type[T]:
    """The subclass of `base` that the file of this kind defines; an `InputError` suggests the nearest name."""
    if kind not in kinds(package):
        noun = package.rsplit(".", 1)[-1].rstrip("s")
        raise InputError(f"{noun} kind {kind!r} does not exist.{did_you_mean(kind, kinds(package))}")
    module = importlib.import_module(f"{package}.{kind.replace('-', '_')}")
    own = [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]
    classes = [c for c in own if issubclass(c, base)]
    if len(classes) != 1:
        raise InputError(
            f"{module.__file__}: expected one subclass of {base.__name__}, found {[c.__name__ for c in classes]}; "
            "a component's file defines exactly one."
        )
    return classes[0]


def check_type(where: str, value: Any, annotation: Any) -> None:
    """Check an option against its annotation, if that consists of numbers, texts, booleans, paths, None, or mappings
    from names to them. NaN and infinity are refused as numbers."""
    parts = (annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)).split(" | ")
    if not set(parts) <= set(TYPES) or any(TYPES[part][1](value) for part in parts):
        return
    hint = ""
    if "float" in parts and isinstance(value, str):
        hint = "; YAML reads 1e-3 as text, write 1.0e-3"
    elif "float" in parts and isinstance(value, Real):
        hint = "; write a finite one"
    raise InputError(f"{where}: expected {' or '.join(TYPES[part][0] for part in parts)}, found {value!r}{hint}.")


def entry(spec: Any) -> tuple[str, dict[str, Any]]:
    """(kind, options) of a component's spec; an `InputError` if it isn't a mapping with a kind."""
    if not isinstance(spec, Mapping) or not isinstance(spec.get("kind"), str):
        raise InputError(f"expected a mapping with a kind, such as {{kind: cca}}, found {spec!r}; mend it.")
    return spec["kind"], {name: value for name, value in spec.items() if name != "kind"}


def build(package: str, base: type[T], spec: Mapping[str, Any]) -> T:
    """Build a component from its spec, {"kind": ..., options}."""
    kind, options = entry(spec)
    return make(component(package, kind, base), repr(kind), options)


def make(cls: type[T], label: str, options: Mapping[str, Any]) -> T:
    """An object of a class from its options; an option that its `__init__` lacks or refuses is an `InputError`."""
    known = inspect.signature(cls).parameters
    for name, value in options.items():
        if name not in known:
            raise InputError(f"{label} has no option {name!r}.{did_you_mean(str(name), known)}")
        check_type(f"{label}: {name}", value, known[name].annotation)
    try:
        return cls(**options)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"{label}: {error}") from None
