"""Types of the stages' options: each reads a word of the command line and explains it in the help."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from ngw.errors import InputError
from ngw.schema import check_plain, check_schema

POSITIONAL = object()  # the option has no name: its place on the command line identifies it
TEXT = {"type": "string"}
NAMES = {"type": "array", "items": TEXT}
SEEDS = {"type": "array", "items": {"type": "integer"}}
GRID: dict[str, Any] = {
    "type": "object",
    "required": ["datasets", "encoder_pairs", "methods", "seeds"],
    "properties": {
        "datasets": NAMES,
        "encoder_pairs": {"type": "array", "items": NAMES | {"minItems": 2, "maxItems": 2}},
        "methods": {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": NAMES}},
        "seeds": SEEDS,
        "seeds_of": {"type": "object", "additionalProperties": SEEDS},
        "references": {"type": "array", "items": {"type": "object", "required": ["model", "dataset", "i2t", "t2i"]}},
    },
}
GROUP = {"type": "object", "required": ["base", "unpaired", "option", "rows"]}
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
    """The schema of a table's runs: each has these fields, its data set, both encoders and its seed."""
    texts = ("dataset", "vision", "text", *names)
    fields = {name: TEXT for name in texts} | {"seed": {"type": "integer"}}
    return {"type": "array", "items": {"type": "object", "required": list(fields), "properties": fields}}


def plain(text: str) -> Any:
    """A JSON value, without NaN and without duplicate keys."""
    try:
        value = json.loads(text, object_pairs_hook=_once)
        check_plain("JSON", value)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except (ValueError, RecursionError) as error:  # ValueError: also an integer of too many digits
        raise argparse.ArgumentTypeError(f'expected JSON such as \'{{"kind": "cca"}}\', found {error}') from None
    return value


def _once(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without duplicate keys."""
    value = dict(entries)
    if len(value) < len(entries):
        raise ValueError(f"a duplicate key among {[key for key, _ in entries]}")
    return value


def shaped(schema: Mapping[str, Any]) -> Callable[[str], Any]:
    """The type of an option: JSON that fits a schema."""

    def fitting(text: str) -> Any:
        value = plain(text)
        try:
            check_schema(value, schema, "JSON")
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return value

    return fitting


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
    """A number of dimensions, or null for all."""
    return None if text == "null" else count(text)


def pairs(text: str) -> str:
    """A pair budget: a whole number, or all."""
    if text != "all" and not re.fullmatch("[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"expected a number or all, found {text!r}")
    return text


def share(text: str) -> str:
    """A share of labels: a percentage above 0 and below 100, or all."""
    try:
        fine = text == "all" or 0 < float(text) < 100
    except ValueError:
        fine = False
    if not fine:
        raise argparse.ArgumentTypeError(f"expected a percentage above 0 and below 100, or all, found {text!r}")
    return text


def count(text: str) -> int:
    """A whole number, 1 or more."""
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {text!r}")
    return int(text)


# Files and folders.
Tables = Annotated[Path, "folder of the data set's tables"]
Vision = Annotated[Path, "feature file of the images"]
Text = Annotated[Path, "feature file of the captions"]
TrainVision = Annotated[Path, "feature file of the training images"]
TrainText = Annotated[Path, "feature file of the training captions"]
Foreign = Annotated[
    Path | None, "feature file of another data set's captions: the unpaired captions in the setting foreign"
]
Plan = Annotated[Path, "plan file of the transport stage"]
Model = Annotated[Path, "file of a fitted method"]
Bridge = Annotated[Path, "file of the joint-bridge stage, in place of a fitted method's"]
LabelsFile = Annotated[Path, "file of the labels stage"]
KeptFile = Annotated[Path | None, "tokens that the encode stage kept, to read in place of running the encoder"]
Training = Annotated[Path, "record of the training (json)"]
Predictions = Annotated[Path, "where each query's ranks or scores go (parquet)"]
RecordFile = Annotated[Path, "where the run's record goes (json)"]
Table = Annotated[Path, "a long-form table (csv)"]
Output = Annotated[Path, "where the result goes"]
Runs = Annotated[Sequence[Path], "folders of the runs; their records and scores go there"]
Records = Annotated[Sequence[Path], "records of the runs to show"]

# A run's identity, and its components' options.
Spec = Annotated[Mapping, spec, "the component's config entry, as JSON"]
DecoderOptions = Annotated[Mapping, options, "the decoder's options, as JSON"]
TrainingOptions = Annotated[Mapping, options, "options of the training, as JSON"]
Templates = Annotated[list | None, shaped({"type": "array", "items": TEXT, "minItems": 1}), "prompt templates, as JSON"]
Dataset = Annotated[str, "the data set's name"]
Name = Annotated[str, "its name in the config, for the record"]
Split = Literal["train", "val", "test"]
Splits = Annotated[Sequence[str], "splits whose questions are answered"]
Pairs = Annotated[str, pairs, "the budget of known pairs: a number, or all"]
Unpaired = Annotated[
    Literal["shared", "disjoint", "foreign", "none"],
    "unpaired rows: with partners in the other cloud, with partners left out, with foreign captions, or none at all",
]
Share = Annotated[str, share, "share of the training questions, in per cent, or all"]
Seed = Annotated[int, "seed of every random draw"]
Captions = Annotated[int, count, "captions per image in the training cloud"]
Count = Annotated[int, count, "test images drawn at random"]
Clip = Annotated[str, "a CLIP: a folder, or name@revision on the hub"]
Grid = Annotated[Mapping, shaped(GRID), "the table's runs, as JSON: see Config.grid"]
AblationGrid = Annotated[Mapping, shaped(ABLATIONS), "the table's runs, as JSON: see Config.ablation_grid"]
MethodCells = Annotated[
    list, shaped(_cells("method", "pairs", "unpaired")), "the table's runs, as JSON: see Generation.cells"
]
FusionCells = Annotated[
    list, shaped(_cells("fusion", "pairs", "unpaired", "labels")), "the table's runs, as JSON: see Vqa.cells"
]
Judges = Annotated[Mapping, shaped(JUDGES), "names of the judges, as JSON"]

# Commands for people.
ConfigFiles = Annotated[Sequence[Path], POSITIONAL, "config files, merged over config.yaml"]
Root = Annotated[Path, "the project's folder"]
