"""Data sets: one file a kind, each with `load(**options) -> Dataset`; this module turns a config entry into one."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ngw.data._classes import Classes, check_templates
from ngw.data._finish import broken, finish, verify_images
from ngw.data.base import (
    COLUMNS,
    SPLITS,
    Dataset,
    Table,
    check_columns,
    check_ids,
    check_paths,
    check_references,
    drop,
    table,
)
from ngw.errors import InputError, did_you_mean
from ngw.registry import check_type, entry, kinds

__all__ = [
    "COLUMNS", "SPLITS", "Classes", "Dataset", "Table", "broken", "check", "check_columns", "check_ids", "check_paths",
    "check_references", "drop", "finish", "labelled", "load", "prepare", "sources", "table", "verify_images",
]  # fmt: skip
ENTRY = ("kind", "templates")  # an entry's keys beside its kind's options
COUNTS = ("captions_per_image", "threads", "workers")  # options that are 1 or more, in every kind that has them
CHOICES = {  # options with a fixed set of values
    "on_error": ("stop", "skip"),
    "restval": ("train", "drop"),
    "shared_images": ("stop", "drop", "keep"),
}


def check(spec: Mapping[str, Any]) -> ModuleType:
    """The module of a data set's config entry; an `InputError` if its kind or an option is unknown, or one is missing.

    A kind with a `write` creates its own files and needs no `root`.  `templates` are prompts, for any kind with
    classes.
    """
    kind, options = entry(spec)
    templates = options.pop("templates", None)
    if kind not in kinds(__name__):
        raise InputError(f"data set kind {kind!r} does not exist.{did_you_mean(kind, kinds(__name__))}")
    module = importlib.import_module(f"{__name__}.{kind.replace('-', '_')}")
    if not hasattr(module, "load"):
        raise InputError(f"{module.__file__}: expected a function `load`, found none; define it.")
    accepted = dict(inspect.signature(module.load).parameters)
    if hasattr(module, "write"):
        accepted = dict(inspect.signature(module.write).parameters) | accepted
        options.setdefault("root", "")
    for name in options:
        if name not in accepted:
            raise InputError(f"data set kind {kind!r} has no option {name!r}.{did_you_mean(name, accepted)}")
        _check_option(module, name, options[name], accepted[name].annotation)
    missing = [name for name, p in accepted.items() if p.default is p.empty and name not in options]
    if missing:
        raise InputError(
            f"data set kind {kind!r}: expected the option {missing[0]!r}, found none; add it to the config."
        )
    if templates is not None:
        check_templates(templates, f"data set kind {kind!r}")
        if not _has_classes(module, options):
            raise InputError(
                f"data set kind {kind!r}: expected no templates, since it has no classes here, found "
                f"{templates!r:.80}; remove them, or choose classes."
            )
    return module


def _has_classes(module: ModuleType, options: Mapping[str, Any]) -> bool:
    """Whether the images have labels with these options: the kind's function `labelled` tells, if it has one."""
    return hasattr(module, "labelled") and module.labelled(**options)


def labelled(spec: Mapping[str, Any]) -> bool:
    """Whether the images of a config entry's data have labels."""
    return _has_classes(check(spec), {name: value for name, value in spec.items() if name not in ENTRY})


def _check_option(module: ModuleType, name: str, value: Any, annotation: Any) -> None:
    """Check an option's type and value, first by the kind's own `check_<option>`, if it has one."""
    where = f"data set kind {module.__name__.rpartition('.')[2].replace('_', '-')!r}: {name}"
    if hasattr(module, f"check_{name}") and value is not None:
        getattr(module, f"check_{name}")(value)
    check_type(where, value, annotation)
    if value == {}:
        raise InputError(f"{where}: expected entries, found none; add one, or leave the option out.")
    if name in COUNTS and value is not None and value < 1:
        raise InputError(f"{where}: expected 1 or more, found {value}; raise it.")
    if name in CHOICES and value not in CHOICES[name]:
        wanted = " or ".join(map(repr, CHOICES[name]))
        raise InputError(f"{where}: expected {wanted}, found {value!r}; choose one.")


def sources(spec: Mapping[str, Any]) -> list[str]:
    """The folders, files and packages (`package:<name>`) that a config entry reads and its kind doesn't create.

    A kind's FILES are the options, beside `root`, that are paths; a path that leaves `root` is a source of its own.
    """
    module, options = check(spec), {name: value for name, value in spec.items() if name not in ENTRY}
    if hasattr(module, "PACKAGES") and options.get("root") is None:
        return [f"package:{name}" for name in module.PACKAGES]
    named = [str(options[name]) for name in ("root", *getattr(module, "FILES", ())) if options.get(name) is not None]
    values = [
        value for option in options.values() for value in (option.values() if isinstance(option, dict) else [option])
    ]
    root, further = str(options.get("root") or ""), []
    for text in (value for value in values if isinstance(value, str)):
        if os.path.isabs(text) or os.path.normpath(text).split(os.sep)[0] == os.pardir:
            begin, brace, _ = text.partition("{")  # of a pattern, the folder
            path = os.path.normpath(os.path.join(root, begin))
            further.append(os.path.dirname(path) if brace and not os.path.exists(path) else path)
    return [*named, *further]


def load(kind: str, **options) -> Dataset:
    """Load a data set by its kind, a file's name in this folder; errors of names suggest the nearest."""
    return check({"kind": kind, **options}).load(**options)


def prepare(spec: Mapping[str, Any], root: str | os.PathLike) -> Dataset:
    """A data set from its config entry. A kind with a `write` first creates its own files under `root`."""
    module = check(spec)
    options = {name: value for name, value in spec.items() if name not in ENTRY}
    if hasattr(module, "write"):
        own = [name for name in inspect.signature(module.write).parameters if name in options]
        module.write(root, **{name: options.pop(name) for name in own})
        options["root"] = root
    return module.load(**options)
