"""The stages of fusion: training on tokens and labels, controls, scores of the answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from ngw import __version__, io, meter
from ngw import fusion as fusions
from ngw.arguments import (
    Dataset,
    LabelsFile,
    Name,
    Output,
    Predictions,
    RecordFile,
    Seed,
    Share,
    Spec,
    Splits,
    Tables,
    Training,
    TrainingOptions,
)
from ngw.cli import stage
from ngw.data import COLUMNS
from ngw.data._files import take
from ngw.errors import InputError, naming
from ngw.features.tokens import TokenFile
from ngw.io import digests
from ngw.record import Record, fusion_run, spaces
from ngw.registry import make

if TYPE_CHECKING:
    from ngw.methods import Method
    from ngw.tasks.vqa.answerer import Answerer
    from ngw.tasks.vqa.labels import Labels

VERSION = 1  # of the task: its training and scoring


@stage("Train a fusion network on questions, and answer other splits' questions.")
def fuse(
    labels: LabelsFile, images: Annotated[Sequence[Path], "token files: of train, then of splits to answer"],
    questions: Annotated[Sequence[Path], "token files, in the order of --images"], fusion: Name, spec: Spec,
    share: Share, seed: Seed, output: Output,
    model: Annotated[Path | None, "the aligner: file of a fitted method"] = None,
    answers: Annotated[Path | None, "file of the encode-answers stage, for a fusion that compares answers"] = None,
    training: TrainingOptions = MappingProxyType({}),
) -> None:  # fmt: skip
    """The fuse stage: train on a share of the labelled questions, and answer the other splits' questions.

    images, questions: token files of the training split and of the splits to answer, in one order.  Writes
    model.safetensors, training.json and predictions/{split}.json, the official results file; a killed run resumes from
    checkpoint.safetensors.
    """
    from ngw.tasks.vqa import answerer
    from ngw.tasks.vqa.labels import Labels
    from ngw.tasks.vqa.similarity import Space

    known, options = Labels.read(labels), make(answerer.Options, "training", training)
    aligner, about = _aligner(model)
    a, b = ([TokenFile(path) for path in paths] for paths in (images, questions))
    _check_sides(a, b, about)
    encoded = _encoded(answers, spec, known, b[0])
    identity = fusion_run(spaces(a[0].metadata, b[0].metadata), fusion, about, share, seed)
    with naming(f"{labels}, {images[0]}, {questions[0]}"):
        usage = meter.Meter()
        rows = known.labelled(share, seed)
        space, texts = None, None
        if aligner is not None and encoded is not None:
            space = Space.of(aligner, a[0])
            texts = space.texts(encoded)
        network = answerer.build(dict(spec), a[0], b[0], aligner, known.vocabulary.answers, seed, texts)
        inputs = [digests.of(path) for path in (labels, model, answers) if path]
        inputs += [f.metadata["sha256"] for f in (*a, *b)]
        made_from = json.dumps([identity, dict(spec), dict(training), inputs, __version__])
        sides = answerer.Sides.of(a[0], b[0], known, rows, space)
        trained = answerer.fit(network, sides, known, rows, options, seed, output / "checkpoint.safetensors", made_from)
        spent = usage.read() | {"train_seconds": trained.seconds}
    for image_tokens, question_tokens in zip(a[1:], b[1:], strict=True):
        _answer(network, (image_tokens, question_tokens), space, known, options, output / "predictions")
    splits = [tokens.metadata["split"] for tokens in b[1:]]
    Record.of(
        identity | {"kind": spec["kind"], "role": fusions.build(spec).role},
        n_labelled=len(rows), vocabulary=_reach(known, splits), alphas=network.network.alphas(),
        training=trained.record(),
        cost={**spent, "parameters": sum(p.numel() for p in network.trained().values())},
    ).write(output / "training.json", results_files(output, splits))  # fmt: skip
    network.save(output / "model.safetensors", {"fusion_spec": json.dumps(dict(spec)), "run": json.dumps(identity)})


def _aligner(model: Path | None) -> tuple[Method | None, dict[str, str]]:
    """The fitted method of a file and its metadata; None and nothing without a file."""
    from ngw.methods import load_with_metadata

    return (None, {}) if model is None else load_with_metadata(model)


def _encoded(path: Path | None, spec: Mapping[str, Any], known: Labels, questions: TokenFile) -> np.ndarray | None:
    """Pooled features of the vocabulary's answers [n_answers, d], if and only if the fusion compares."""
    from ngw.tasks.vqa.similarity import read_answers

    if fusions.build(spec).compares != (path is not None):
        wanted, found = ("some", "none") if path is None else ("none", str(path))
        raise InputError(
            f"{spec['kind']}: expected {wanted} for --answers, since a fusion needs features of the answers only if "
            f"it compares images with them, found {found}; run the encode-answers stage, or change `similarity`."
        )
    return None if path is None else read_answers(path, questions.metadata["encoder"], known.vocabulary.answers)


def results_files(output: Path, splits: Sequence[str]) -> list[Path]:
    """The files with the answers to some splits' questions."""
    return [output / "predictions" / f"{split}.json" for split in splits]


def _reach(known: Labels, splits: Sequence[str]) -> dict[str, Any]:
    """A record's entry about the vocabulary, for each answered split."""
    return {split: known.record(split) for split in splits}


def _check_sides(a: Sequence[TokenFile], b: Sequence[TokenFile], aligner: Mapping[str, str]) -> None:
    """Check that all token files are of one data set, and each side's of one encoder (the aligner's too) and basis."""
    for side, files, modality, name in (("images", a, "vision", "vision"), ("questions", b, "text", "text")):
        first = files[0]
        for file in files:
            for key, wanted in (
                ("dataset", a[0].metadata["dataset"]), ("modality", modality), ("encoder", first.metadata["encoder"])
            ):  # fmt: skip
                if file.metadata[key] != wanted:
                    raise InputError(
                        f"{file.path}: expected {side} of {key} {wanted!r}, found {file.metadata[key]!r}; pass "
                        "files of one data set, and of one encoder a side."
                    )
            if not np.array_equal(file.basis.axes, first.basis.axes) or file.basis.unit != first.basis.unit:
                raise InputError(f"{file.path}: expected the basis of {first.path}, found another; encode both anew.")
        if aligner and aligner[name] != first.metadata["encoder"]:
            raise InputError(
                f"{first.path}: expected tokens of {aligner[name]!r}, on which the aligner was fitted, found those of "
                f"{first.metadata['encoder']!r}; pass the aligner of these encoders."
            )
    if len(a) != len(b) or [f.metadata["split"] for f in a] != [f.metadata["split"] for f in b]:
        raise InputError(f"{a[0].path}: expected the same splits of images and questions, in one order, found others.")


def _answer(network: Answerer, files: tuple[TokenFile, TokenFile], space, known, options, output: Path) -> None:
    """Write the official results file of one split."""
    from ngw.tasks.vqa import answerer
    from ngw.tasks.vqa.answers import write_results

    split = files[1].metadata["split"]
    rows = known.rows(split)
    sides = answerer.Sides.of(*files, known, rows, space)
    chosen = answerer.answer(network, sides, np.arange(len(rows)), answerer.available(options.device))
    ids = known.question_ids[rows].tolist()
    write_results(output / f"{split}.json", ids, [known.vocabulary.answers[column] for column in chosen], ids)


@stage("Answer with the most frequent answer: a control.")
def prior(
    tables: Tables, labels: LabelsFile, dataset: Dataset, vision: Name, text: Name, fusion: Name, spec: Spec,
    seed: Seed, splits: Splits, output: Output,
) -> None:  # fmt: skip
    """The prior stage: the control's answers to some splits' questions, and a record like a training's."""
    from ngw.tasks.vqa import answers
    from ngw.tasks.vqa.labels import Labels

    chosen: Any = fusions.build(spec)  # a prior
    questions = io.read_table(tables / "questions.parquet", COLUMNS["questions"])
    usage = meter.Meter()
    rule = answers.prior_by_type if chosen.by_type else answers.prior
    with naming(str(tables / "questions.parquet")):
        predictions = rule(questions, questions)
    for split in splits:
        rows = [row for row, where in enumerate(questions["split"]) if where == split]
        if not rows:
            raise InputError(f"{tables}: split {split!r}: expected questions, found none; mend tables.vqa.")
        ids = [questions["question_id"][row] for row in rows]
        answers.write_results(output / "predictions" / f"{split}.json", ids, [predictions[row] for row in rows], ids)
    spent = usage.read()
    identity = fusion_run({"dataset": dataset, "vision": vision, "text": text}, fusion, {}, "all", seed)
    Record.of(
        identity | {"kind": spec["kind"], "role": chosen.role},
        n_labelled=questions["split"].count("train"), alphas={}, training=None,
        vocabulary=_reach(Labels.read(labels), splits), cost={**spent, "parameters": 0},
    ).write(output / "training.json", results_files(output, splits))  # fmt: skip


@stage("Score a results file.")
def vqa(
    tables: Tables, training: Training,
    results: Annotated[Path, "answers in the official format, named after their split (json)"],
    predictions: Predictions, record: RecordFile,
) -> None:  # fmt: skip
    """The vqa stage: score a results file like the official scorer, question by question, and write the record."""
    from ngw.metrics.vqa import accuracies, by_group, summary
    from ngw.tasks.vqa.answers import read_results

    split = results.stem
    table = io.read_table(tables / "questions.parquet", COLUMNS["questions"], split)
    unlabelled = next((i for i, given in zip(table["question_id"], table["answers"], strict=True) if not given), None)
    if unlabelled is not None:
        raise InputError(
            f"{tables}: question_id {unlabelled}: expected annotators' answers, found none; score a labelled split."
        )
    io.check_vouched(training, results)
    predicted = read_results(results, table["question_id"])
    official, always = (accuracies(predicted, table["answers"], mode) for mode in ("official", "always"))
    run, seen = Record.read(training), _trained_on(tables, split, table["image_id"])
    kept = ("question_id", "image_id", "question_type", "answer_type")
    io.write_table(predictions, {
        **{name: table[name] for name in kept}, "answer": predicted, "accuracy": official, "always": always
    })  # fmt: skip
    run.scored(
        "vqa", VERSION, split=split, n_questions=len(predicted), n_images=len(set(table["image_id"])), **seen,
        metrics={**summary(official, table["answer_type"]), "always_accuracy": float(np.mean(always))},
        by_question_type=by_group(official, table["question_type"]),
        vocabulary=take(run["vocabulary"], split, f"{training}: vocabulary"),
    ).write(record)  # fmt: skip


def _trained_on(tables: Path, split: str, image_ids: Sequence[int]) -> dict[str, int]:
    """How many of a split's images have training questions too, if any: splits of a data set can share images."""
    if split == "train":
        return {}
    shared = set(image_ids) & set(io.read_table(tables / "questions.parquet", ["image_id"], "train")["image_id"])
    return {"n_images_trained_on": len(shared)} if shared else {}
