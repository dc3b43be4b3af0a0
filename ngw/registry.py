"""One file a component: the file's name is its key, nothing is registered by hand."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from numbers import Integral, Real
from types import ModuleType, NoneType
from typing import Any, TypeVar

from ngw.errors import InputError, did_you_mean

T = TypeVar("T")
TYPES = {
    "int": ("a whole number", Integral),
    "float": ("a number", Real),
    "bool": ("true or false", bool),
    "str": ("a text", str),
    "None": ("null", NoneType),
}


def kinds(package: ModuleType) -> list[str]:
    """The keys of a package's components: its file names, `_` written as `-`, without `base` and private ones."""
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name.replace("_", "-") for name in names if name != "base" and not name.startswith("_"))


def component(package: ModuleType, kind: str, base: type[T]) -> type[T]:
    """The subclass of `base` that the file of this kind defines; an `InputError` suggests the nearest name."""
    if kind not in kinds(package):
        what = package.__name__.rsplit(".", 1)[-1].rstrip("s")
        raise InputError(f"{what} kind {kind!r} does not exist.{did_you_mean(kind, kinds(package))}")
    module = importlib.import_module(f"{package.__name__}.{kind.replace('-', '_')}")
    own = [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]
    found = [c for c in own if issubclass(c, base)]
    if len(found) != 1:
        raise InputError(
            f"{module.__file__}: expected one subclass of {base.__name__}, found {[c.__name__ for c in found]}; "
            "a component's file defines exactly one."
        )
    return found[0]


def check_type(where: str, value: Any, annotation: Any) -> None:
    """An option must be what its annotation says, where that is made of numbers, texts, booleans and None."""
    parts = (annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)).split(" | ")
    if not set(parts) <= set(TYPES) or any(
        isinstance(value, TYPES[part][1]) and (part == "bool" or not isinstance(value, bool)) for part in parts
    ):
        return
    hint = "; YAML reads 1e-3 as text, write 1.0e-3" if isinstance(value, str) and "float" in parts else ""
    raise InputError(f"{where}: expected {' or '.join(TYPES[part][0] for part in parts)}, found {value!r}{hint}.")


def build(package: ModuleType, base: type[T], kind: str, **options: Any) -> T:
    """Make a component from its spec; an option that its `__init__` lacks is an `InputError`."""
    cls = component(package, kind, base)
    known = inspect.signature(cls).parameters
    for name in options:
        if name not in known:
            raise InputError(f"{kind!r} has no option {name!r}.{did_you_mean(name, known)}")
        check_type(f"{kind!r}: {name}", options[name], known[name].annotation)
    try:
        return cls(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"{kind!r}: {error}") from None
