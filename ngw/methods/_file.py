"""A fitted method as one safetensors file: its arrays, options and status."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ngw import __version__, io
from ngw.errors import InputError

Method = Any  # `ngw.methods.base.Method`, whose save and load these are

PLAIN = (bool, int, float, str, list)  # what a fit learns beside arrays
DEFAULTS = ("converged_", "note_", "x_columns_", "y_columns_")  # what a class has until a fit changes it
OWN = ("kind", "version", "params", "state")  # names in the file's metadata


def write(method: Method, path: str | os.PathLike, metadata: Mapping[str, str]) -> None:
    """Write a fitted method; an `InputError`, before anything is written, where `read` would not find it again."""
    cls = type(method)
    if cls.__module__.rpartition(".")[0] != "ngw.methods":
        raise InputError(
            f"save: expected a method of a file in ngw/methods, where load finds it, found {cls.__name__} of "
            f"{cls.__module__}; move its class there, or pickle it."
        )
    for name, value in metadata.items():
        if name in OWN or not isinstance(value, str):
            raise InputError(
                f"save: {name}: expected a text under a name other than {', '.join(OWN)}, found {value!r}; mend it."
            )
    scalars = {k: v for k, v in vars(method).items() if k.endswith("_") and isinstance(v, PLAIN)}
    options = json.dumps(method.params(), default=lambda value: value.item())  # of NumPy's numbers
    head = {"kind": method._kind(), "version": __version__, "params": options, "state": json.dumps(scalars)}
    io.write_tensors(path, method._arrays(), head | dict(metadata))


def read(path: str | os.PathLike, build: Callable[[Mapping[str, Any]], Method]) -> tuple[Method, dict[str, str]]:
    """The method that `write` wrote, made by `build` from its spec, and the file's metadata."""
    arrays, head = io.read_tensors(path, "a fitted method", "kind")
    try:
        options, state = (_object(head, name) for name in ("params", "state"))
        method = build(options | {"kind": head["kind"]})
        if odd := sorted(options.keys() ^ method.params().keys()):
            raise InputError(
                f"params: expected exactly the options of {head['kind']}, found others, or none, for {odd}"
            )
        _restore(method, arrays, state)
    except InputError as error:
        raise InputError(f"{path}: {str(error).rstrip('.')}; fit the method again.") from None
    return method, head


def _restore(method: Method, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
    """Give an unfitted method what a file holds: only learned values, and enough of them to map a row of each side."""
    for name, value in [*arrays.items(), *state.items()]:
        learned = name.isidentifier() and name.endswith("_") and not name.startswith("_")
        taken = (hasattr(type(method), name) and name not in DEFAULTS) or (name in arrays and name in state)
        if taken or not learned or not isinstance(value, (np.ndarray, *PLAIN)):
            raise InputError(f"expected what a fit learns, found {name!r}")
    method.__dict__.update(arrays | state)
    if not (isinstance(method.converged_, bool) and isinstance(method.note_, str)):
        raise InputError(f"expected a status, found converged_ {method.converged_!r} and note_ {method.note_!r}")
    method.options_ = method.params()
    try:
        with np.errstate(all="ignore"):  # what isn't finite is refused below
            x, y = method.x_mean_[None], method.y_mean_[None]
            there, back, (u, v) = method.transform(x), method.inverse_transform(y), method.embed(x, y)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"expected the arrays of a fit, found {error}") from None
    shapes = [z.shape for z in (there, back, u, method.x_scale_, method.y_scale_)]
    if shapes != [y.shape, x.shape, v.shape, (), ()] or not all(np.isfinite(z).all() for z in (there, back, u, v)):
        raise InputError(f"expected arrays that give finite rows of shapes {y.shape} and {x.shape}, found {shapes}")


def _object(head: Mapping[str, str], name: str) -> dict[str, Any]:
    """An object that stands as JSON in a file's metadata."""
    try:
        value = json.loads(head[name])
    except (KeyError, ValueError) as error:
        raise InputError(f"{name}: expected JSON, found {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{name}: expected an object, found {value!r}")
    return value
