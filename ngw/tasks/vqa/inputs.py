"""The stages before a fusion's training: tokens of images and questions, labels, features of the answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np

from ngw import __version__, encoders, features, io
from ngw.arguments import Dataset, KeptFile, LabelsFile, Name, Output, Spec, Split, Tables, count, dims
from ngw.cli import stage
from ngw.data import COLUMNS
from ngw.errors import InputError, naming
from ngw.features.basis import fit_basis, read_basis, write_basis
from ngw.features.tokens import write
from ngw.seeds import rng

SAMPLE = 256  # items that a basis is fitted on
PROMPT = "a picture of {}"  # an answer in the form of the aligners' captions (as in zero-shot CLIP, Radford et al.)


def _items(tables: Path, split: str, modality: str) -> tuple[list[str], list[int]]:
    """The items of one split to encode, (items, ids): the questions, or the images that they are about."""
    table = io.read_table(tables / "questions.parquet", ["question_id", "image_id", "text"], split)
    if not table["text"]:
        raise InputError(f"{tables}: split {split!r}: expected questions, found none; use a split or data with some.")
    if modality == "text":
        return table["text"], table["question_id"]
    images = io.read_table(tables / "images.parquet", ["image_id", "path"])
    path = dict(zip(images["image_id"], images["path"], strict=True))
    ids = list(dict.fromkeys(table["image_id"]))
    missing = [i for i in ids if i not in path]
    if missing:
        raise InputError(
            f"{tables}: image {missing[0]}: expected its file, since questions are about it, found none; make the "
            "tables again."
        )
    return [path[i] for i in ids], ids


@stage("Compute the principal axes in which an encoder's tokens are kept.")
def basis(
    tables: Tables, dataset: Dataset, encoder: Name, spec: Spec,
    dims: Annotated[int | None, dims, "dimensions to keep; null: all, unchanged"], output: Output,
    kept: KeptFile = None,
) -> None:  # fmt: skip
    """The basis stage: principal axes of an encoder's training tokens, and the tokens' length."""
    frozen = encoders.build(spec)
    every, ids = _items(tables, "train", frozen.modality)
    items = list(dict.fromkeys(every))
    if kept is not None:
        frozen = features.Kept(frozen, kept, json.dumps(dict(spec)), every, ids)
    chosen = rng(0, "tokens", "basis", dataset).permutation(len(items))[:SAMPLE]
    with naming(str(tables)):
        space, about = fit_basis(frozen, [items[i] for i in np.sort(chosen)], dims)
    head = {"dataset": dataset, "encoder": encoder, "spec": json.dumps(dict(spec)), "ngw": __version__}
    write_basis(output, space, about, {**head, "sampled": str(len(chosen))})
    print(f"{encoder}: {space.axes.shape[1]} dimensions of {len(space.mean)}, {about['explained']:.1%} of the variance")


@stage("Run a frozen encoder over one split's images or questions, token by token.")
def tokens(
    tables: Tables, split: Split, dataset: Dataset, encoder: Name, spec: Spec,
    basis: Annotated[Path, "file of the basis stage"], output: Output, kept: KeptFile = None,
) -> None:  # fmt: skip
    """The tokens stage: one split's images or questions, token by token, in the basis of the training tokens."""
    frozen = encoders.build(spec)
    axes, about = read_basis(basis)
    if (about["dataset"], about["encoder"]) != (dataset, encoder):
        raise InputError(
            f"{basis}: expected the basis of {encoder} on {dataset}, found that of {about['encoder']} on "
            f"{about['dataset']}; run the basis stage again."
        )
    items, ids = _items(tables, split, frozen.modality)
    if kept is not None:
        frozen = features.Kept(frozen, kept, json.dumps(dict(spec)), items, ids)
    head = {"dataset": dataset, "split": split, "encoder": encoder, "spec": json.dumps(dict(spec)), "ngw": __version__}
    head |= {name: about[name] for name in ("scale", "explained")}
    write(frozen, items, ids, axes, output, head)


@stage("Vocabulary and soft targets of all questions.")
def labels(
    tables: Tables, output: Output,
    aligned_on: Annotated[Path | None, "tables on which the aligners are fitted, if they are others"] = None,
    min_count: Annotated[int, count, "occurrences that an answer of the vocabulary needs"] = 9,
    splits: Annotated[Sequence[str], "splits whose answers are counted"] = ("train",),
) -> None:  # fmt: skip
    """The labels stage: vocabulary and soft targets of all questions, once for all trainings.

    aligned_on: tables on which the aligners are fitted, if others; no image is in train of one and test of the other.
    """
    from ngw.data._leaks import check_tables
    from ngw.tasks.vqa.labels import Labels

    if aligned_on is not None:
        check_tables(tables, aligned_on)
    questions = io.read_table(tables / "questions.parquet", COLUMNS["questions"])
    with naming(str(tables / "questions.parquet")):
        labelled = Labels.of(questions, min_count, splits)
        counts = {split: labelled.record(split) for split in dict.fromkeys(questions["split"])}
    labelled.save(output)
    print(json.dumps(counts, indent=1))


@stage("Run a frozen text encoder over the vocabulary's answers.")
def encode_answers(labels: LabelsFile, dataset: Dataset, encoder: Name, spec: Spec, output: Output) -> None:
    """The encode-answers stage: pooled features of the vocabulary's answers, as captions; ids are their columns."""
    from ngw.tasks.vqa.labels import Labels

    frozen, answers = encoders.build(spec), list(Labels.read(labels).vocabulary.answers)
    if frozen.modality != "text" or frozen.by_id:
        raise InputError(
            f"{labels}: {encoder}: expected an encoder that reads texts, found one of "
            f"{'ids' if frozen.by_id else 'images'}; take another for fusions, or similarity: false."
        )
    head = {"dataset": dataset, "split": "train", "encoder": encoder, "spec": json.dumps(dict(spec))}
    head |= {"ngw": __version__, "answers": json.dumps(answers)}
    columns = list(range(len(answers)))
    features.encode(frozen, [PROMPT.format(answer) for answer in answers], columns, columns, output, head)
