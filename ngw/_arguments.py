"""What stages' options have in common: what each file is, and what the values of an option can be."""

from __future__ import annotations

import argparse
import json

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


def spec(text: str) -> dict:
    """A component's config entry given as JSON on the command line."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f'expected JSON such as \'{{"kind": "cca"}}\', found {error}') from None
    if not isinstance(value, dict) or "kind" not in value:
        raise argparse.ArgumentTypeError(f"expected a JSON object with a kind, found {text}")
    return value


def pairs(text: str) -> str:
    """A pair budget: a whole number, or all."""
    if text != "all" and not text.isdigit():
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


def captions(text: str) -> int:
    """Captions an image: 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {text!r}")
    return int(text)


def whose(p: argparse.ArgumentParser) -> None:
    """Which fusion a stage is about."""
    p.add_argument("--fusion", required=True, help="the fusion's name, for the record")
    p.add_argument("--spec", type=spec, required=True, help="the fusion's config entry, as JSON")
    p.add_argument("--seed", required=True, type=int)
