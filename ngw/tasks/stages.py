"""The stages of the workflow: files to arrays, a pure core, arrays to files. One stage, one rule, one command."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from ngw import __version__, encoders, features, io, meter, methods
from ngw.arguments import (
    Captions,
    Dataset,
    Foreign,
    Model,
    Name,
    Output,
    Pairs,
    Plan,
    Predictions,
    RecordFile,
    Seed,
    Spec,
    Split,
    Tables,
    Text,
    TrainText,
    TrainVision,
    Unpaired,
    Vision,
)
from ngw.cli import stage
from ngw.data import prepare
from ngw.errors import InputError, naming
from ngw.features.clouds import clouds, repeated
from ngw.record import Record, run, spaces, status
from ngw.tasks.clouds import held_out, run_identity, train_clouds

if TYPE_CHECKING:
    from ngw.methods._transport import Transport


@stage("Make or read a data set, check it, and write its tables.")
def data(spec: Spec, output: Output) -> None:
    """The data stage: make (if the kind makes its own files), load and check a data set, and write its tables."""
    prepare(spec, output / "raw").save(output)


@stage("Run a frozen encoder over one split.")
def encode(
    tables: Tables, split: Split, dataset: Dataset, encoder: Name, spec: Spec, output: Output,
    shard: Annotated[str | None, "only a part of the split: 2/8 is the second of eight"] = None,
    kept: Annotated[Path | None, "where the images' tokens go, for later stages that need them"] = None,
) -> None:  # fmt: skip
    """The features stage: one split, or a shard of it (2/8, say), through one frozen encoder."""
    frozen = encoders.build(spec)
    if frozen.modality == "vision":
        columns = io.read_table(tables / "images.parquet", ["image_id", "path"], split)
        ids, items = columns["image_id"], columns["path"]
    else:
        columns = io.read_table(tables / "captions.parquet", ["caption_id", "image_id", "text"], split)
        ids, items = columns["caption_id"], columns["text"]
    if not ids:
        wanted = "images" if frozen.modality == "vision" else "captions"
        raise InputError(
            f"{tables}: split {split!r}: expected {wanted}, found none; enlarge the split, or take other data."
        )
    head = {"dataset": dataset, "split": split, "encoder": encoder, "spec": json.dumps(dict(spec)), "ngw": __version__}
    rows, part = (slice(None), {}) if shard is None else (features.shard(shard, len(ids)), {"shard": shard})
    features.encode(frozen, items[rows], ids[rows], columns["image_id"][rows], output, head | part, kept=kept)
    if frozen.modality == "text" and not frozen.by_id and (told := frozen.says_of_cut(items[rows])):
        print(f"{tables}: split {split!r}: {told}", file=sys.stderr)


@stage("Join the shards of an encoding.")
def gather(shards: Annotated[Sequence[Path], "files of the encode stage, in their order"], output: Output) -> None:
    """The gather stage: from the shards of one encoding to its feature file."""
    features.gather(shards, output)


@stage("Fit a method that needs no plan.")
def fit(
    vision: Vision, text: Text, spec: Spec, method: Name, pairs: Pairs, seed: Seed, output: Output,
    captions: Captions = 1, unpaired: Unpaired = "shared", foreign: Foreign = None,
    teacher: Annotated[Path | None, "file of the joint-bridge stage: the joint model to learn from"] = None,
) -> None:  # fmt: skip
    """The fit stage of a method without a plan: from the train clouds to a fitted method's file.

    teacher: the joint-bridge stage's file of the jointly trained model from which the method learns.
    """
    model: Any = methods.build(spec)
    budget = "all" if model.supervision == "all" else pairs
    two, who = train_clouds(vision, text, budget, seed, captions, unpaired, foreign)
    if teacher is not None:
        model.taught_by(*_taught(teacher, vision, text, budget, seed, captions, unpaired, foreign))
    usage = meter.Meter()
    with naming(f"{vision}, {text}"):
        model.fit(two.x, two.y, two.pairs, seed)
    model.save(output, **run_identity(who, method, pairs, unpaired, seed), **meter.written(usage.read()))


def _taught(
    teacher: Path, vision: Path, text: Path, pairs: str, seed: int, captions: int, unpaired: str, foreign: Path | None
) -> tuple[np.ndarray, np.ndarray]:
    """A jointly trained model's features of the train clouds' rows, which `clouds` draws alike; zeros if foreign."""
    arrays, _ = io.read_tensors(teacher, "a bridge", "bridge")
    sides = []
    for path, name in ((vision, "train_images"), (text, "train_captions")):
        cloud = features.read(path)
        if len(arrays[name]) != len(cloud.ids):
            raise InputError(f"{teacher}: expected {name} of {path}, found others; make the bridge again.")
        sides.append(features.Features(cloud.ids, cloud.image_ids, arrays[name], cloud.metadata))
    shape = (0 if foreign is None else len(features.read(foreign).ids), sides[1].x.shape[1])
    other = None if foreign is None else np.zeros(shape)  # a student imitates known pairs only
    two = clouds(sides[0], sides[1], pairs, seed, captions, unpaired, other)
    return two.x, two.y


def _planned(spec: Mapping) -> Any:
    """A method with a plan; other methods are for the fit stage."""
    model = methods.build(spec)
    if not model.has_plan:
        raise InputError(f"kind: expected a method with a plan, found {spec['kind']!r}; use the fit stage.")
    return model


def _read_plan(path: Path, identity: Mapping[str, str]) -> tuple[Transport, dict[str, str]]:
    """The transport stage's result and its metadata; an `InputError` unless its identity is this one."""
    from ngw.methods._transport import Transport

    arrays, head = io.read_tensors(path, "a plan", "diagnostics")
    for name, value in identity.items():
        if head.get(name) != value:
            raise InputError(f"{path}: expected {name} {value!r}, found {head.get(name)!r}; delete it and rerun.")
    known: dict[str, Any] = {**arrays, **json.loads(head["diagnostics"])}
    return Transport(**known), head


@stage("Solve entropic optimal transport between the train clouds.")
def transport(
    vision: Vision, text: Text, spec: Spec, method: Name, pairs: Pairs, seed: Seed, output: Output,
    captions: Captions = 1, unpaired: Unpaired = "shared", foreign: Foreign = None,
) -> None:  # fmt: skip
    """The transport stage: the plan's potentials, barycentric targets both ways and diagnostics; never the plan.

    Under `torchrun` the processes share the plan's rows (`Warp.solve`), and the first of them writes.
    """
    from ngw.nn import distributed

    distributed.start()
    model = _planned(spec)
    two, who = train_clouds(vision, text, pairs, seed, captions, unpaired, foreign)
    usage = meter.Meter()
    with naming(f"{vision}, {text}"):
        # `solve` makes copies of the clouds, and nobody else holds them: they are let go.
        plan = model.solve(vars(two).pop("x"), vars(two).pop("y"), two.pairs, seed, two.truth, distributed.group())
    if not distributed.first():
        return
    head = run_identity(who, method, pairs, unpaired, seed) | meter.written(usage.read())
    head["diagnostics"] = json.dumps(plan.diagnostics())
    arrays = {name: value for name, value in vars(plan).items() if isinstance(value, np.ndarray)}
    io.write_tensors(output, arrays, head)
    print(json.dumps(plan.diagnostics(), indent=1))


@stage("Fit both maps to a plan's barycentric targets.")
def maps(
    vision: Vision, text: Text, plan: Plan, spec: Spec, method: Name, pairs: Pairs, seed: Seed, output: Output,
    captions: Captions = 1, unpaired: Unpaired = "shared", foreign: Foreign = None,
) -> None:  # fmt: skip
    """The maps stage: fit T_AB and T_BA to a plan's barycentric targets."""
    model = _planned(spec)
    two, who = train_clouds(vision, text, pairs, seed, captions, unpaired, foreign)
    identity = run_identity(who, method, pairs, unpaired, seed)
    solved, head = _read_plan(plan, identity)
    usage = meter.Meter()
    with naming(str(plan)):
        model.fit_maps(two.x, two.y, two.pairs, solved, seed)
    whole = meter.both(meter.read(head), usage.read())
    model.save(output, **identity, **meter.written(whole), plan=head["diagnostics"])


@stage("Rank a test split both ways.")
def retrieval(model: Model, vision: Vision, text: Text, predictions: Predictions, record: RecordFile) -> None:
    """The retrieval stage: ranks of every query both ways, and the run's record."""
    from ngw.tasks import retrieval as task

    aligner, head = methods.load_with_metadata(model)
    a, b = held_out(vision, text, head)
    with naming(f"{vision}, {text}"):
        result = task.evaluate(aligner, a, b)
    io.write_table(predictions, result.table)
    Record.of(
        run(head, aligner.role)
        | status("retrieval", task.VERSION, len(a.ids), len(b.ids), bool(aligner.converged_), aligner.note_),
        metrics=result.metrics,
        cost={**meter.read(head), "parameters": int(aligner.n_parameters_)},
        plan=json.loads(head.get("plan", "null")),  # diagnostics, if the method has a plan
        step=_kept_step(aligner),  # of training, if the method is trained
    ).write(record)


def _kept_step(model: Any) -> int | None:
    """The training step of a fitted method's weights: the best one on held-out rows."""
    held_out = getattr(model, "curve_held_out_", None)
    return None if held_out is None else int(model.curve_step_[np.argmin(held_out)])


@stage("Measure what both maps keep on a test split, beside a shuffled null.")
def identifiability(
    model: Model, vision: Vision, text: Text, train_vision: TrainVision, train_text: TrainText, record: RecordFile,
    captions: Captions = 1, foreign: Foreign = None,
) -> None:  # fmt: skip
    """The identifiability stage: both maps on a test split, and on the same rows the method's shuffled twin."""
    from ngw.tasks import identifiability as task

    aligner, head = methods.load_with_metadata(model)
    (a, b), seed = held_out(vision, text, head), int(head["seed"])
    budget = "all" if aligner.supervision == "all" else head["pairs"]
    two, _ = train_clouds(train_vision, train_text, budget, seed, captions, head["unpaired"], foreign)
    with naming(f"{vision}, {text}"):
        x, y = task.held_out(a, b, seed)
        result = task.evaluate(aligner, x, y, seed)
    with naming(f"{train_vision}, {train_text}"):
        twin = task.shuffled_twin(aligner, two, seed)
    null = None if twin is None else task.evaluate(twin, x, y, seed)
    Record.of(
        run(head, aligner.role)
        | status("identifiability", task.VERSION, len(x), len(y), bool(aligner.converged_), aligner.note_),
        cost={"parameters": int(aligner.n_parameters_)}, metrics=result.metrics, null=null and null.metrics,
        spectra=result.spectra, null_spectra=null and null.spectra,
    ).write(record)  # fmt: skip


def _repeated(train: Path, test: Path, held: features.Features) -> int:
    """The number of test rows that equal a training row; if there are any, a line on standard error says so."""
    count = repeated(features.read(train).x, held.x)
    if count:
        print(
            f"{test}: {count} of {len(held.x)} rows equal a row of {train}: training items are tested; put "
            "equal items in one split.",
            file=sys.stderr,
        )
    return count


@stage("Measure how similar two spaces are before alignment, calibrated by permuted pairs.")
def similarity(
    vision: Vision, text: Text, train_vision: TrainVision, train_text: TrainText, record: RecordFile
) -> None:
    """The similarity stage: how similar a split's two spaces are before any alignment, against permuted pairs.

    The record also counts the split's rows that equal a training row, which matters to every method.
    """
    from ngw.metrics.similarity import similarity as measure
    from ngw.seeds import rng
    from ngw.tasks.identifiability import held_out

    a, b = features.read(vision), features.read(text)
    with naming(f"{vision}, {text}"):
        x, y = held_out(a, b, seed=0)
        metrics = measure(x, y, rng(0, "similarity", "permutations"))
    Record.of(
        spaces(a.metadata, b.metadata) | {"split": a.metadata["split"], "n": len(x), "task": "similarity"},
        repeated_rows={"vision": _repeated(train_vision, vision, a), "text": _repeated(train_text, text, b)},
        metrics=metrics,
    ).write(record)
