"""What options of stages can be: types that say how a word is read, and what it means."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from ngw.errors import InputError
from ngw.schema import check_plain, check_schema

POSITIONAL = object()  # the option is given by its place, without its name
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


def _once(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, if each of its keys stands there once."""
    value = dict(entries)
    if len(value) < len(entries):
        raise ValueError(f"a key a second time among {[key for key, _ in entries]}")
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
    Path | None, "feature file of another data set's captions, the unpaired ones of the setting foreign"
]
Plan = Annotated[Path, "plan file of the transport stage"]
Model = Annotated[Path, "file of a fitted method"]
Bridge = Annotated[Path, "file of the joint-bridge stage, instead of a method's"]
LabelsFile = Annotated[Path, "file of the labels stage"]
KeptFile = Annotated[Path | None, "tokens that the encode stage kept, in place of the encoder"]
Training = Annotated[Path, "record of the training (json)"]
Predictions = Annotated[Path, "where ranks or scores of single queries go (parquet)"]
RecordFile = Annotated[Path, "where the run's record goes (json)"]
Table = Annotated[Path, "a long-form table (csv)"]
Output = Annotated[Path, "where the result goes"]
Runs = Annotated[Sequence[Path], "folders of runs, which their records and scores go to"]
Records = Annotated[Sequence[Path], "records of the runs shown"]

# A run's identity, and its components' options.
Spec = Annotated[Mapping, spec, "the component's config entry, as JSON"]
DecoderOptions = Annotated[Mapping, options, "the decoder's options, as JSON"]
TrainingOptions = Annotated[Mapping, options, "options of the training, as JSON"]
Templates = Annotated[
    list | None, shaped({"type": "array", "items": TEXT, "minItems": 1}), "templates of prompts, as JSON"
]
Dataset = Annotated[str, "the data set's name"]
Name = Annotated[str, "its name, for the record"]
Split = Literal["train", "val", "test"]
Splits = Annotated[Sequence[str], "splits to answer"]
Pairs = Annotated[str, pairs, "the budget of known pairs: a number, or all"]
Unpaired = Annotated[
    Literal["shared", "disjoint", "foreign", "none"],
    "where partners of unpaired rows are: in the other cloud, or left out, or the captions are another data set's",
]
Share = Annotated[str, share, "per cent of the training questions, or all"]
Seed = Annotated[int, "seed of all that is drawn"]
Captions = Annotated[int, count, "captions an image in the training cloud"]
Count = Annotated[int, count, "test images drawn at random"]
Clip = Annotated[str, "a CLIP: folder, or name@revision on the hub"]
Grid = Annotated[Mapping, shaped(GRID), "the runs wanted, as JSON: see Config.grid"]
AblationGrid = Annotated[Mapping, shaped(ABLATIONS), "the runs wanted, as JSON: see Config.ablation_grid"]
MethodCells = Annotated[
    list, shaped(_cells("method", "pairs", "unpaired")), "the runs wanted, as JSON: see Generation.cells"
]
FusionCells = Annotated[
    list, shaped(_cells("fusion", "pairs", "unpaired", "labels")), "the runs wanted, as JSON: see Vqa.cells"
]
Judges = Annotated[Mapping, shaped(JUDGES), "names of the judges, as JSON"]

# Of commands for people.
ConfigFiles = Annotated[Sequence[Path], POSITIONAL, "config files over config.yaml"]
Root = Annotated[Path, "the project's folder"]
