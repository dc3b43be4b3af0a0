"""The stages of classification: encoded prompts, every run's classification, the linear probe."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ngw import __version__, encoders, features, io, methods
from ngw.arguments import (
    Clip,
    Dataset,
    Model,
    Name,
    Output,
    Pairs,
    Predictions,
    RecordFile,
    Seed,
    Spec,
    Templates,
)
from ngw.cli import stage
from ngw.data import Classes
from ngw.errors import InputError, naming
from ngw.features import Features
from ngw.features.clouds import NONE
from ngw.record import Record, run, spaces
from ngw.tasks.classification import VERSION, probe, zero_shot

Images = Annotated[Sequence[Path], "feature files of labelled test images, one per data set"]
Prompts = Annotated[Sequence[Path], "files of the encode-classes stage, in their order"]
TASK = {"task": "classification", "task_version": VERSION}
Classify = Callable[[int, Features, Features, dict[int, int]], zero_shot.Result]  # of a set: place, both sides, labels
ClassesFile = Annotated[Path, "classes.json of the data set"]
Labels = Annotated[Sequence[Path], "tables of labels, in their order"]


@stage("Run a frozen text encoder over the prompts of a data set's classes.")
def encode_classes(
    classes: ClassesFile, dataset: Dataset, encoder: Name, spec: Spec, output: Output, templates: Templates = None
) -> None:  # fmt: skip
    """The encode-classes stage: features of every class in every template; an item's image id is its class."""
    known = Classes.read(classes)
    if not known.names:
        raise InputError(f"{classes}: expected classes, found none; use a data set with classes.")
    known = Classes(known.names, tuple(templates) if templates else known.templates).check(str(classes))
    frozen, count = encoders.build(spec), len(known.templates)
    if frozen.modality != "text" or frozen.by_id:
        raise InputError(
            f"{classes}: {encoder}: expected an encoder that reads texts, found one of "
            f"{'ids' if frozen.by_id else 'images'}; take another for classification."
        )
    head = {"dataset": dataset, "split": "classes", "encoder": encoder, "spec": json.dumps(dict(spec))}
    head |= {"ngw": __version__, "templates": json.dumps(known.templates), "classes": json.dumps(known.names)}
    prompts = known.prompts()
    ids = list(range(len(prompts)))
    features.encode(frozen, prompts, ids, [k // count for k in ids], output, head)


@stage("Classify labelled test images by their classes' prompts.")
def classification(
    model: Model, images: Images, classes: Prompts, labels: Labels, predictions: Predictions, record: RecordFile
) -> None:
    """The classification stage: a fitted method classifies each data set's test images; one record for all."""
    aligner, head = methods.load_with_metadata(model)

    def classified(k: int, a: Features, b: Features, known: dict[int, int]) -> zero_shot.Result:
        return zero_shot.evaluate(aligner, a, b, known)

    sets = _each(images, classes, labels, classified, predictions, head["vision"], head["text"])
    status = {"converged": bool(aligner.converged_), "note": aligner.note_}
    Record.of(run(head, aligner.role) | TASK | status, sets=sets).write(record)


@stage("Classify labelled test images by a CLIP, from pixels and words.")
def joint_classification(
    folder: Clip, tables: Annotated[Sequence[Path], "folders of the data sets' tables, in their order"], images: Images,
    classes: Prompts, labels: Labels, dataset: Dataset, spec: Spec, method: Name, pairs: Pairs, seed: Seed,
    predictions: Predictions, record: RecordFile,
) -> None:  # fmt: skip
    """The joint-classification stage: a CLIP, trained on `dataset`, classifies each data set's test images.

    images, classes: the aligners' features, for ids, prompts and the encoders' names.
    """
    from ngw.encoders import _huggingface
    from ngw.tasks.joint.stages import Shared, items, seen

    where, names = _huggingface.folder(folder), {}

    def classified(k: int, a: Features, b: Features, known: dict[int, int]) -> zero_shot.Result:
        names.update(spaces(a.metadata, b.metadata))
        known_classes = Classes(*(tuple(json.loads(b.metadata[key])) for key in ("classes", "templates")))
        prompts = seen(where, "text", dict(enumerate(known_classes.prompts())), b)
        return zero_shot.evaluate(Shared(), seen(where, "vision", items(tables[k], "vision"), a), prompts, known)

    sets = _each(images, classes, labels, classified, predictions)
    head = {**names, "dataset": dataset, "method": method, "pairs": pairs, "unpaired": NONE, "seed": str(seed)}
    who = run(head | {"kind": spec["kind"]}, methods.build(spec).role)
    Record.of(who | TASK | {"converged": True, "note": ""}, sets=sets).write(record)


def _each(
    images: Sequence[Path], classes: Sequence[Path], labels: Sequence[Path], classified: Classify, predictions: Path,
    vision: str | None = None, text: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Classify each data set, write one table of all predictions, and return the record's entry of each data set.

    vision, text: the names of the encoders that the files must have.
    """
    if not len(images) == len(classes) == len(labels):
        raise InputError(
            f"{images[0]}: expected classes and labels for each of {len(images)} files, found {len(classes)} and "
            f"{len(labels)}; name all, in order."
        )
    rows, sets = [], {}
    for k, (place, prompts, known) in enumerate(zip(images, classes, labels, strict=True)):
        a, b = features.read(place, vision), features.read(prompts, text)
        with naming(f"{place}, {prompts}"):
            name = _same(a.metadata, b.metadata)
            found = classified(k, a, b, _labels(known, "test"))
        rows.append({"set": [name] * len(a.ids), **found.table})
        sets[name] = about(found) | {"templates": json.loads(b.metadata["templates"])}
    write(rows, predictions)
    return sets


def _same(a: Mapping[str, str], b: Mapping[str, str]) -> str:
    """The data set of both; an `InputError` if they differ."""
    if a["dataset"] != b["dataset"]:
        raise InputError(f"expected one data set's images and classes, found {a['dataset']} and {b['dataset']}.")
    return a["dataset"]


def _labels(file: Path, split: str) -> dict[int, int]:
    """{image id: class} of a split."""
    columns = io.read_table(file, ["image_id", "label"], split)
    if not columns["label"]:
        raise InputError(f"{file}: split {split!r}: expected labelled images, found none; use data with labels.")
    return dict(zip(columns["image_id"], columns["label"], strict=True))


def about(found: zero_shot.Result) -> dict[str, Any]:
    """A record's entry of one data set."""
    return {"n_images": len(found.table["image_id"]), "n_classes": len(found.names), "classes": found.names,
            "metrics": found.metrics}  # fmt: skip


def write(tables: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write one table of the predictions on all data sets."""
    io.write_table(path, {name: np.concatenate([table[name] for table in tables]) for name in tables[0]})


@stage("Fit a linear probe of frozen image features: the ceiling of classification.")
def linear_probe(
    train: Annotated[Path, "feature file of labelled training images"],
    test: Annotated[Path, "feature file of labelled test images"], labels: Annotated[Path, "table of labels"],
    classes: ClassesFile, predictions: Predictions, record: RecordFile,
) -> None:  # fmt: skip
    """The linear-probe stage: ridge regression from training images to classes, and its predictions on test images."""
    names = list(Classes.read(classes).names)
    a, b = features.read(train), features.read(test)
    with naming(f"{train}, {test}"):
        _same(a.metadata, b.metadata)
        encoder, other = a.metadata["encoder"], b.metadata["encoder"]
        if encoder != other:
            raise InputError(f"expected features of one encoder, found {encoder} and {other}; encode both alike.")
        known = zero_shot.labels_of(a, _labels(labels, "train"), len(names))
        fitted = probe.fit(a.x, known, len(names))
        truth = zero_shot.labels_of(b, _labels(labels, "test"), len(names))
        scores = fitted.scores(b.x).astype(np.float32)
        found = zero_shot.result(b, names, truth, scores, np.eye(len(names), dtype=np.float32))
    write([{"set": [b.metadata["dataset"]] * len(b.ids), **found.table}], predictions)
    Record.of(
        {"dataset": b.metadata["dataset"], "vision": b.metadata["encoder"]} | TASK | {"converged": True, "note": ""},
        n_train=len(a.ids), penalty=fitted.penalty, sets={b.metadata["dataset"]: about(found)},
    ).write(record)  # fmt: skip
