"""Writes config/README.md, every key of the config with the schema's description: `python docs/config.py`.

Run it after a change of the schema or of an option; a test checks that the page is current.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ngw import config
from ngw.options import schema as of_options
from ngw.project import SCHEMA
from ngw.schema import WANTED

PAGE = Path(__file__).parents[1] / "config" / "README.md"
HEAD = """\
# The config

`config.yaml` says what runs: dictionaries define (data sets, encoders, methods), lists select (seeds, pairs, a
table's methods). It is at the repository's top, and `config/config.yaml` is a link to it; `ngw init` and `snakedeploy`
write a copy. The package `ngw` is installed beside Snakemake (`pip install 'ngw[bench]'`), in the version of the rules.

A config file laid over it by `--configfile` replaces lists whole and can't remove keys; `tables.NAME: null` leaves a
table out. A wrong key or value is refused before anything runs, with the nearest name. Options that aren't given have
the defaults of their class, one line each in `ngw/data`, `ngw/encoders`, `ngw/methods` and `ngw/fusion`.

`NAME` is a name of your own; `[]` stands for each entry of a list; a key in **bold** is required in its section.

| key | expects | default | what it says |
| --- | --- | --- | --- |
"""


def rows(schema: Mapping[str, Any], defs: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, str, str, str]]:
    """(key, expected value, default, description) of all keys below a node of the schema."""
    for name, given in schema.get("properties", {}).items():
        node = resolved(given, defs)
        key = f"{at}.{name}".removeprefix(".")
        shown = f"**`{key}`**" if name in schema.get("required", ()) else f"`{key}`"
        default = f"`{str(node['default']).lower() if isinstance(node['default'], bool) else node['default']}`"
        yield shown, expected(node, defs), default if "default" in given else "", node.get("description", "")
        yield from below(node, defs, key)


def below(node: Mapping[str, Any], defs: Mapping[str, Any], key: str) -> Iterator[tuple[str, str, str, str]]:
    """The rows of a key's own keys, of its entries' and of its names'."""
    yield from rows(node, defs, key)
    for part, ending in (("items", "[]"), ("additionalProperties", ".NAME")):
        if isinstance(node.get(part), Mapping):
            yield from below(resolved(node[part], defs), defs, key + ending)


def resolved(node: Mapping[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    """A node of the schema with its reference resolved; `default` is None if the schema has none."""
    reference = node.get("$ref", "").removeprefix("#/$defs/")
    return {"default": None, **(defs[reference] if reference else {}), **node}


def expected(node: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    """The values that a key expects, in words."""
    if "anyOf" in node:
        return " or ".join(expected(resolved(part, defs), defs) for part in node["anyOf"])
    if "const" in node or "enum" in node:
        return " or ".join(f"`{value}`" for value in node.get("enum", [node.get("const")]))
    types = node.get("type", "object")
    words = (
        " or ".join([types] if isinstance(types, str) else types).replace("object", "mapping").replace("array", "list")
    )
    if isinstance(node.get("items"), Mapping):
        words += f" of {expected(resolved(node['items'], defs), defs)}"
    limits = [
        WANTED[k].format(node[k]) for k in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum") if k in node
    ]
    return ", ".join([words, *limits])


def options(component: type) -> dict[str, Any]:
    """The schema of a class's options, with their defaults."""
    schema = of_options(component)
    for field in dataclasses.fields(component):
        schema["properties"][field.name]["default"] = field.default
    return schema


def page() -> str:
    """The whole page."""
    schema = config.read(SCHEMA)
    defs = schema["$defs"] | {name: options(each) for name, each in config.OPTIONS.items()}
    lines = (f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |\n" for row in rows(schema, defs))
    return HEAD + "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
