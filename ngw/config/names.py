"""What the parts of the config share: the paths of runs, checks of names, and entries derived from others."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ngw.errors import InputError, did_you_mean, naming
from ngw.schema import check_plain

# The only definitions of a run's path; the rules use them as patterns, the tables as paths.
RUN = "results/runs/{dataset}/{vision}__{text}/{method}/pairs{pairs}/{unpaired}/seed{seed}"
FUSION = "results/fusions/{dataset}/{vision}__{text}/{fusion}/pairs{pairs}/{unpaired}/labels{labels}/seed{seed}"

# The output of a job of many runs, besides their own files: the rules' target, which says what each file was made of.
DONE = "results/runs/{dataset}/{vision}__{text}/{method}/{part}.{stage}.json"
FUSED = "results/fusions/{dataset}/{vision}__{text}/{fusion}/{part}.{stage}.json"
SCORED = "results/fusions/{dataset}/{vision}__{text}/vqa.json"

# A change after a `~` in a derived name; the name is part of a path.
CHANGE = re.compile(r"([a-z0-9_]+)=([A-Za-z0-9._+-]+)")


def as_text(entry: Mapping[str, Any]) -> str:
    """A config entry as text, independent of the order of its keys."""
    return json.dumps(entry, sort_keys=True)


def module(package: str, spec: Mapping[str, Any] | None) -> list[str]:
    """The module of a component's kind, for a fingerprint of code."""
    return [f"ngw.{package}.{spec['kind'].replace('-', '_')}"] if spec else []


def tidy(value: Any, root: str = "") -> Any:
    """A config in which the path of anything that exists is written one way: `data/` and `./data` as `data`.

    root: the `root` of the entry around it, below which paths can be.
    """
    if isinstance(value, Mapping):
        root = value["root"] if isinstance(value.get("root"), str) else root
        return {name: tidy(each, root) for name, each in value.items()}
    if isinstance(value, str) and value and any(os.path.exists(os.path.join(at, value)) for at in ("", root)):
        return str(Path(value))
    return value


class Once(yaml.SafeLoader):
    """Refuses duplicate keys of a mapping, of which YAML silently keeps the last; `<<` merges as usual."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in keys:
                    raise yaml.MarkedYAMLError(None, None, f"a duplicate key {key.value!r}", key.start_mark)
                keys.add((key.tag, key.value))
        return node


def known(where: str, label: str, name: Any, names: Mapping[str, Any]) -> None:
    """Raise an `InputError` with the nearest name if a name is not defined."""
    if not isinstance(name, str) or name not in names:
        raise InputError(f"config: {where}: {label} {name!r} is not defined.{did_you_mean(str(name), names)}")


def with_name(where: str, check: Callable, spec: Mapping[str, Any]) -> Any:
    """Run a component's own check; its error names the entry of the config."""
    try:
        return check(spec)
    except InputError as error:
        raise InputError(f"config: {where}: {error}") from None


def derived_spec(where: str, label: str, specs: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The entry of a name in a section; `base~option=value~...` is the base's entry with other values."""
    base = name.split("~")[0]
    known(where, label, base, specs)
    with naming("config"):
        return derived(f"{label} {name!r}", specs[base], name, where)


def derived(label: str, spec: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """The spec of a name `base~option=value~...`, from the base's.  label: the name in errors.  where: its section."""
    spec = dict(spec)
    for change in name.split("~")[1:]:
        parts = CHANGE.fullmatch(change)
        if parts is None:
            raise InputError(
                f"{label}: expected option=value after '~', with a value of letters, digits and . _ + -, found "
                f"{change!r}; mend it, or give the value in {where}."
            )
        option, text = parts.groups()
        if option == "kind":
            raise InputError(f"{label}: expected another option, found its kind; define it in {where}.")
        spec[option] = _value(label, text)
    return spec


def _value(label: str, text: str) -> Any:
    """A value as YAML reads it."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):  # ValueError: a date in month 13
        raise InputError(f"{label}: expected a value in YAML, found {text!r}; mend it.") from None
    check_plain(label, value)
    return value
