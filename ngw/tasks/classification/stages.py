"""The stages of classification: prompts through a text encoder, every run's classification, the linear probe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ngw import __version__, encoders, features, io, methods
from ngw.arguments import Dataset, Model, Name, Output, Predictions, RecordFile, Spec, Templates
from ngw.cli import stage
from ngw.data import Classes
from ngw.errors import InputError, naming
from ngw.record import Record, run
from ngw.tasks.classification import VERSION, probe, zero_shot

Images = Annotated[Sequence[Path], "feature files of labelled test images, a data set each"]
Prompts = Annotated[Sequence[Path], "files of the encode-classes stage, in their order"]
ClassesFile = Annotated[Path, "classes.json of the data set"]
Labels = Annotated[Sequence[Path], "tables of labels, in their order"]


@stage("Run a frozen text encoder over the prompts of a data set's classes.")
def encode_classes(
    classes: ClassesFile, dataset: Dataset, encoder: Name, spec: Spec, output: Output, templates: Templates = None
) -> None:  # fmt: skip
    """The encode-classes stage: features of every class in every template; an item's image id is its class."""
    known = Classes.read(classes)
    if not known.names:
        raise InputError(f"{classes}: expected classes, found none; take a data set that has some.")
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
    """The classification stage: a fitted method classifies each data set's test images; one record of all."""
    if not len(images) == len(classes) == len(labels):
        raise InputError(
            f"{images[0]}: expected classes and labels of each of {len(images)} files; name all, in order."
        )
    aligner, head = methods.load_with_metadata(model)
    tables, sets = [], {}
    for place, prompts, known in zip(images, classes, labels, strict=True):
        a, b = features.read(place, head["vision"]), features.read(prompts, head["text"])
        with naming(f"{place}, {prompts}"):
            name = _same(a.metadata, b.metadata)
            found = zero_shot.evaluate(aligner, a, b, _labels(known, "test"))
        tables.append({"set": [name] * len(a.ids), **found.table})
        sets[name] = about(found) | {"templates": json.loads(b.metadata["templates"])}
    write(tables, predictions)
    Record.of(
        run(head, aligner.role)
        | {"task": "classification", "task_version": VERSION, "converged": bool(aligner.converged_)}
        | {"note": aligner.note_},
        sets=sets,
    ).write(record)


def _same(a: Mapping[str, str], b: Mapping[str, str]) -> str:
    """The data set of both."""
    if a["dataset"] != b["dataset"]:
        raise InputError(f"expected one data set's images and classes, found {a['dataset']} and {b['dataset']}.")
    return a["dataset"]


def _labels(file: Path, split: str) -> dict[int, int]:
    """{image id: class} of a split."""
    columns = io.read_table(file, ["image_id", "label"], split)
    if not columns["label"]:
        raise InputError(f"{file}: split {split!r}: expected labelled images, found none; take data that has some.")
    return dict(zip(columns["image_id"], columns["label"], strict=True))


def about(found: zero_shot.Result) -> dict[str, Any]:
    """What a record says of one data set."""
    return {"n_images": len(found.table["image_id"]), "n_classes": len(found.names), "classes": found.names,
            "metrics": found.metrics}  # fmt: skip


def write(tables: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One table of the predictions on all data sets."""
    io.write_table(path, {name: np.concatenate([table[name] for table in tables]) for name in tables[0]})


@stage("A linear probe of frozen image features: the ceiling of classification.")
def linear_probe(
    train: Annotated[Path, "feature file of labelled training images"],
    test: Annotated[Path, "feature file of labelled test images"], labels: Annotated[Path, "table of labels"],
    classes: ClassesFile, predictions: Predictions, record: RecordFile,
) -> None:  # fmt: skip
    """The linear-probe stage: ridge regression from training images to classes, and its classes of the test images."""
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
        {"dataset": b.metadata["dataset"], "vision": b.metadata["encoder"], "task": "classification"}
        | {"task_version": VERSION, "converged": True, "note": ""},
        n_train=len(a.ids), penalty=fitted.penalty, sets={b.metadata["dataset"]: about(found)},
    ).write(record)  # fmt: skip
