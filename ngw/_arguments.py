"""What stages' options have in common: what each file is, and what the values of an option can be."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ngw.errors import InputError
from ngw.schema import check_plain, check_schema

FILES = {
    "tables": "folder of the data set's tables",
    "vision": "feature file of the images",
    "text": "feature file of the captions",
    "plan": "plan file of the transport stage",
    "train-vision": "feature file of the training images",
    "train-text": "feature file of the training captions",
    "model": "file of a fitted method",
    "captioner": "file of the captioner stage",
    "imager": "file of the imager stage",
    "captions": "captions in the COCO results format (json)",
    "nearest": "the nearest training captions, likewise (json)",
    "run": "record of the caption stage (json)",
    "labels": "file of the labels stage",
    "training": "record of the training (json)",
    "results": "answers in the official format, named after their split (json)",
    "predictions": "where ranks or scores of single queries go (parquet)",
    "record": "where the run's record goes (json)",
    "benchmarks": "folder of Snakemake's benchmark files",
    "table": "a long-form table (csv)",
    "output": "where the result goes",
}


TEXT = {"type": "string"}
NAMES = {"type": "array", "items": TEXT}
SEEDS = {"type": "array", "items": {"type": "integer"}}
GRID: dict[str, Any] = {
    "type": "object",
    "required": ["datasets", "encoder_pairs", "methods", "seeds"],
    "properties": {
        "datasets": NAMES,
        "encoder_pairs": {"type": "array", "items": NAMES | {"minItems": 2, "maxItems": 2}},
        "methods": {"type": "object", "additionalProperties": NAMES},
        "seeds": SEEDS,
        "seeds_of": {"type": "object", "additionalProperties": SEEDS},
        "references": {"type": "array", "items": {"type": "object", "required": ["model", "dataset", "i2t", "t2i"]}},
    },
}
GROUP = {"type": "object", "required": ["base", "option", "rows"]}
ABLATIONS = GRID | {
    "required": [*GRID["required"], "groups"],
    "properties": {**GRID["properties"], "groups": {"type": "array", "items": GROUP}},
}
JUDGES = {
    "type": "object",
    "required": ["network", "axes", "scorer"],
    "properties": {"network": TEXT, "axes": {"type": ["integer", "null"], "minimum": 1}, "scorer": TEXT},
}


def _cells(*names: str) -> Mapping[str, Any]:
    """The schema of a table's runs, each with these fields beside its data set, encoders and seed."""
    texts = ("dataset", "vision", "text", *names)
    fields = {name: TEXT for name in texts} | {"seed": {"type": "integer"}}
    return {"type": "array", "items": {"type": "object", "required": list(fields), "properties": fields}}


def plain(text: str) -> Any:
    """A value given as JSON: no NaN in it, and no key twice in an object."""
    try:
        value = json.loads(text, object_pairs_hook=_once)
        check_plain("JSON", value)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except (ValueError, RecursionError) as error:  # ValueError: an integer of too many digits, too
        raise argparse.ArgumentTypeError(f'expected JSON such as \'{{"kind": "cca"}}\', found {error}') from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, if each of its keys stands there once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key a second time among {[key for key, _ in pairs]}")
    return found


def shaped(schema: Mapping[str, Any]) -> Callable[[str], Any]:
    """The type of an option: JSON that fits a schema."""

    def value(text: str) -> Any:
        found = plain(text)
        try:
            check_schema(found, schema, "JSON")
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return found

    return value


grid, ablations, judges = shaped(GRID), shaped(ABLATIONS), shaped(JUDGES)
methods, fusions = shaped(_cells("method", "pairs")), shaped(_cells("fusion", "pairs", "labels"))


def options(text: str) -> dict[str, Any]:
    """Options by name, as JSON."""
    value = plain(text)
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object, found {text:.80}")
    return value


def spec(text: str) -> dict[str, Any]:
    """A component's config entry given as JSON on the command line."""
    value = plain(text)
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise argparse.ArgumentTypeError(f"expected a JSON object with a kind, found {text:.80}")
    return value


def dims(text: str) -> int | None:
    """How many dimensions are kept; null: all."""
    return None if text == "null" else count(text)


def pairs(text: str) -> str:
    """A pair budget: a whole number, or all."""
    if text != "all" and not re.fullmatch("[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"expected a number or all, found {text!r}")
    return text


def share(text: str) -> str:
    """A share of labels: per cent, above 0 and below 100, or all."""
    try:
        fine = text == "all" or 0 < float(text) < 100
    except ValueError:
        fine = False
    if not fine:
        raise argparse.ArgumentTypeError(f"expected per cent below 100, or all, found {text!r}")
    return text


def count(text: str) -> int:
    """A number of things: 1 or more."""
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {text!r}")
    return int(text)


def whose(p: argparse.ArgumentParser) -> None:
    """Which fusion a stage is about."""
    p.add_argument("--fusion", required=True, help="the fusion's name, for the record")
    p.add_argument("--spec", type=spec, required=True, help="the fusion's config entry, as JSON")
    p.add_argument("--seed", required=True, type=int)
