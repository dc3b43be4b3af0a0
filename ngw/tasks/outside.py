"""The stages around a user's program that fits maps: its input, and a fitted method from its output."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import numpy as np

from ngw import io, meter, methods
from ngw.arguments import (
    Captions,
    Foreign,
    Name,
    Output,
    Pairs,
    Seed,
    Spec,
    TrainText,
    TrainVision,
    Unpaired,
)
from ngw.cli import stage
from ngw.errors import InputError, naming
from ngw.methods.outside import Outside
from ngw.tasks.clouds import run_identity, train_clouds

COSTS = {"s": "train_seconds", "cpu_time": "cpu_seconds", "max_rss": "peak_memory_mb"}  # of Snakemake's benchmarks


@stage("Write the input of a run's fit, for the user's own program.")
def export_clouds(
    train_vision: TrainVision, train_text: TrainText, spec: Spec, method: Name, pairs: Pairs, seed: Seed,
    output: Output, captions: Captions = 1, unpaired: Unpaired = "shared", foreign: Foreign = None,
) -> None:  # fmt: skip
    """The export-clouds stage: x [n, d_x], y [m, d_y] and pairs [k, 2], their row numbers, as one safetensors file."""
    supervision = _outside(spec).supervision
    budget = {"all": "all", "none": "0"}.get(supervision, pairs)
    two, who = train_clouds(train_vision, train_text, budget, seed, captions, unpaired, foreign)
    arrays = {"x": two.x, "y": two.y, "pairs": two.pairs.astype(np.int64)}
    io.write_tensors(output, arrays, run_identity(who, method, pairs, unpaired, seed))


@stage("Make a run's fitted method from the maps of the user's own program.")
def adopt_maps(
    clouds: Annotated[Path, "file of the export-clouds stage"],
    maps: Annotated[Path, "the program's file (safetensors): ab, ba, and if not 0, ab_offset, ba_offset"],
    cost: Annotated[Path, "Snakemake's benchmark of the program (tsv)"],
    spec: Spec,
    output: Output,
) -> None:
    """The adopt-maps stage: with its file, the run is like any other."""
    given, head = io.read_tensors(clouds, "clouds", "vision_sha256")
    found, _ = io.read_tensors(maps, "maps", foreign=True)
    model = _outside(spec)
    with naming(str(maps)):
        model.adopt(given["x"], given["y"], given["pairs"], found, int(head["seed"]))
    model.save(output, **head, **meter.written(_cost(cost)))


def _outside(spec: Spec) -> Outside:
    """A method of the kind outside; other kinds are for the fit stage."""
    model = methods.build(spec)
    if not isinstance(model, Outside):
        raise InputError(f"kind: expected 'outside', found {spec['kind']!r}; use the fit stage.")
    return model


def _cost(path: Path) -> dict[str, float]:
    """A program's cost, from Snakemake's benchmark; 0 where the program ended before the first sample."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            row = next(csv.DictReader(file, delimiter="\t"))
        return {cost: float(row[name]) if row[name] not in ("NA", "-") else 0.0 for name, cost in COSTS.items()}
    except (OSError, StopIteration, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: expected Snakemake's benchmark of the program, found {error!r}; give its rule a `benchmark:`."
        ) from None
