"""The stages of methods that read raw items (joint training, weight averaging): a CLIP, its retrieval, answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np

from ngw import __version__, encoders, features, io, meter, methods
from ngw import fusion as fusions
from ngw.arguments import (
    Captions,
    Clip,
    Dataset,
    LabelsFile,
    Name,
    Output,
    Pairs,
    Predictions,
    RecordFile,
    Seed,
    Share,
    Spec,
    Splits,
    Tables,
    Text,
    TrainingOptions,
    TrainText,
    TrainVision,
    Vision,
)
from ngw.cli import stage
from ngw.encoders import _huggingface
from ngw.errors import InputError, naming
from ngw.features import Features
from ngw.features.clouds import NONE, clouds
from ngw.record import Record, fusion_run, run, spaces, status
from ngw.registry import make


@stage("Train a CLIP from scratch on raw pixels and words.")
def joint(tables: Tables, spec: Spec, pairs: Pairs, seed: Seed, output: Output, captions: Captions = 1) -> None:
    """The joint stage: train a CLIP on a budget of known pairs, the same as the aligners' at this seed.

    Under `torchrun` the processes share each batch, and the first process writes the files.
    """
    from ngw.nn import distributed
    from ngw.tasks.joint import clip

    distributed.start()
    options: Any = methods.build(spec)
    paths, texts, ids = known_pairs(tables, pairs, captions, seed)
    identity = json.dumps([pairs, captions, dict(spec), seed, __version__, len(ids)])
    usage = meter.Meter()
    with naming(str(tables)):
        trained = clip.fit(paths, texts, ids, options, seed, _checkpoint(output), identity)
    if distributed.first():
        _save(output, *trained, options.size, {"pairs": pairs, "seed": seed, "images": len(ids), **usage.read()})


@stage("Train two towers, each on its own modality alone.")
def towers(tables: Tables, spec: Spec, seed: Seed, output: Output, captions: Captions = 1) -> None:
    """The towers stage: one tower learns from all training images, one of the same shape from captions, unpaired."""
    from ngw.tasks.joint import averaging

    options: Any = methods.build(spec)
    paths, texts, ids = known_pairs(tables, "all", captions, seed)
    flat, owners = [text for of in texts for text in of], np.repeat(ids, [len(of) for of in texts])
    identity = json.dumps([captions, dict(spec), seed, __version__, len(ids)])
    usage = meter.Meter()
    with naming(str(tables)):
        trained = averaging.fit(paths, flat, ids, owners, options, seed, _checkpoint(output), identity)
    _save(output, *trained, options.size, {"pairs": "none", "seed": seed, "images": len(ids), **usage.read()})


@stage("Merge two towers' trunks by the mean of their weights.")
def merge(towers: Annotated[Path, "folder of the towers stage"], spec: Spec, output: Output) -> None:
    """The merge stage: both trunks become their mean, after a matching if the method has one."""
    from tokenizers import Tokenizer
    from transformers import CLIPModel

    from ngw.tasks.joint import averaging, clip

    options: Any = methods.build(spec)
    io.check_vouched(towers / _huggingface.RECORD)
    about, usage = io.read_record(towers / _huggingface.RECORD), meter.Meter()
    model = _huggingface.pretrained(CLIPModel, towers, trust_remote_code=False)
    averaging.merged(model, options)
    words = Tokenizer.from_file(str(towers / "tokenizer.json"))
    spent = meter.both({name: about[name] for name in meter.COSTS if name in about}, usage.read())
    clip.save(output, model, words, options.size, about | spent)


def _checkpoint(output: Path) -> Path:
    return output.parent / f"{output.name}.checkpoint.safetensors"


def _save(output: Path, model: Any, words: Any, trained: Any, size: int, about: Mapping[str, Any]) -> None:
    """Write a trained CLIP's folder, with a record of its training."""
    from ngw.tasks.joint import clip

    parameters = sum(p.numel() for p in model.parameters())
    clip.save(output, model, words, size, Record.of(about, training=trained.record(), parameters=parameters))


def known_pairs(tables: Path, pairs: str, captions: int, seed: int) -> tuple[list[str], list[list[str]], np.ndarray]:
    """Image files, the known captions of each, and the images' ids; `clouds` draws them, as row numbers."""
    images = io.read_table(tables / "images.parquet", ["image_id", "path"], "train")
    sentences = io.read_table(tables / "captions.parquet", ["caption_id", "image_id", "text"], "train")
    if not sentences["text"]:
        raise InputError(f"{tables}: split 'train': expected captions, found none; take other data.")
    rows = [np.arange(len(columns["image_id"]), dtype=np.float64)[:, None] for columns in (images, sentences)]
    ids = np.array(images["image_id"])
    a = Features(ids, ids, rows[0], {})
    b = Features(np.array(sentences["caption_id"]), np.array(sentences["image_id"]), rows[1], {})
    with naming(str(tables)):
        two = clouds(a, b, pairs, seed, captions)
    texts: dict[int, list[str]] = {}
    for i, j in two.pairs:
        texts.setdefault(int(two.x[i, 0]), []).append(sentences["text"][int(two.y[j, 0])])
    return [images["path"][k] for k in texts], list(texts.values()), ids[list(texts)]


_ITEMS = {"vision": ("images.parquet", "image_id", "path"), "text": ("captions.parquet", "caption_id", "text")}


class Shared:
    """The method of two clouds that are in one space already."""

    def embed(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both clouds unchanged: unit rows, whose products are cosines."""
        return u, v


def seen(where: Path, side: str, items: Mapping[int, str], cloud: Features) -> Features:
    """One side of a CLIP's features for a feature file's rows.  items: {id: image file, or text}."""
    width = io.read_json(where / "config.json")["projection_dim"]
    encoder = encoders.build({"kind": "clip", "side": side, "model": str(where), "width": width})
    x = np.empty((len(cloud.ids), width), np.float32)
    for places, encoding in features.batches(encoder, [items[int(i)] for i in cloud.ids]):
        x[places] = encoding.pooled
    return Features(cloud.ids, cloud.image_ids, x, cloud.metadata)


def items(tables: Path, side: str) -> dict[int, str]:
    """{id: image file, or caption} of a data set."""
    file, *columns = _ITEMS[side]
    known = io.read_table(tables / file, columns)
    return dict(zip(*(known[column] for column in columns), strict=True))


def _seen(where: Path, tables: Path, side: str, cloud: Features) -> Features:
    """One side of a CLIP's features for the items of a feature file."""
    return seen(where, side, items(tables, side), cloud)


@stage("Rank a test split with a CLIP.")
def joint_retrieval(
    folder: Clip, tables: Tables, vision: Vision, text: Text, spec: Spec, method: Name, pairs: Pairs, seed: Seed,
    predictions: Predictions, record: RecordFile,
) -> None:  # fmt: skip
    """The joint-retrieval stage: a CLIP ranks the test split both ways, to compare with these two encoders' aligners.

    vision, text: the aligners' test features, for the test's ids and the encoders' names.
    """
    from ngw.tasks import retrieval

    a, b = features.read(vision), features.read(text)
    where = _huggingface.folder(folder)
    seen = [_seen(where, tables, side, cloud) for side, cloud in (("vision", a), ("text", b))]
    result = retrieval.evaluate(Shared(), *seen)
    trained = where / _huggingface.RECORD
    about = io.read_record(trained) if trained.is_file() else {}  # a published CLIP has no such file
    none = {"train_seconds": 0.0, "peak_memory_mb": 0.0, "parameters": 0}
    io.write_table(predictions, result.table)
    head = {"method": method, "pairs": pairs, "unpaired": NONE, "seed": str(seed), "kind": spec["kind"]}
    Record.of(
        run(spaces(a.metadata, b.metadata) | head, methods.build(spec).role)
        | status("retrieval", retrieval.VERSION, len(a.ids), len(b.ids)),
        metrics=result.metrics,
        cost=none | {name: about[name] for name in (*meter.COSTS, "parameters") if name in about},
        plan=None,
        step=about.get("training", {}).get("step"),
    ).write(record)


@stage("Map a CLIP's space to the latents that decoders read.")
def joint_bridge(
    folder: Clip, tables: Tables, vision: Vision, text: Text, train_vision: TrainVision, train_text: TrainText,
    spec: Spec, method: Name, pairs: Pairs, seed: Seed, output: Output,
) -> None:  # fmt: skip
    """The joint-bridge stage: a CLIP's features of all items, and the frozen encoders' latents predicted from them.

    vision, text: the frozen encoders' test features; train_vision, train_text: their training features.
    """
    from ngw.tasks import latents

    where = _huggingface.folder(folder)
    files = {"images": vision, "captions": text, "train_images": train_vision, "train_captions": train_text}
    frozen = {name: features.read(path) for name, path in files.items()}
    inside = {
        name: _seen(where, tables, "vision" if name.endswith("images") else "text", cloud).x
        for name, cloud in frozen.items()
    }
    arrays, penalties = latents.bridged(inside, frozen["train_images"].x, frozen["train_captions"].x)
    a, b = frozen["images"].metadata, frozen["captions"].metadata
    io.write_tensors(output, arrays, {
        "bridge": json.dumps(penalties), **spaces(a, b),
        "method": method, "pairs": pairs, "unpaired": NONE, "seed": str(seed),
        "kind": spec["kind"], "role": methods.build(spec).role,
        "images_sha256": a["sha256"], "captions_sha256": b["sha256"], "ngw": __version__,
    })  # fmt: skip


@stage("Train on raw images and questions, and answer other splits' questions.")
def joint_vqa(
    tables: Tables, labels: LabelsFile, dataset: Dataset, vision: Name, text: Name, fusion: Name, spec: Spec,
    share: Share, seed: Seed, splits: Splits, output: Output, training: TrainingOptions = MappingProxyType({}),
) -> None:  # fmt: skip
    """The joint-vqa stage: train on raw images and questions, and answer other splits' questions, like the fuse stage.

    vision, text: the encoders of the fusions to compare with, for the record.
    """
    from ngw.tasks.joint import vqa
    from ngw.tasks.vqa import answerer, answers
    from ngw.tasks.vqa.labels import Labels

    known = Labels.read(labels)
    chosen: Any = fusions.build(spec)
    options = make(
        answerer.Options, "training", {**training, "epochs": chosen.epochs, "learning_rate": chosen.learning_rate}
    )
    table = io.read_table(tables / "questions.parquet", ["question_id", "image_id", "text", "split"])
    images = io.read_table(tables / "images.parquet", ["image_id", "path"])
    wanted = set(table["image_id"])
    paths = {i: path for i, path in zip(images["image_id"], images["path"], strict=True) if i in wanted}
    rows = known.labelled(share, seed)
    with naming(str(tables)):
        usage = meter.Meter()
        questions = dict(zip(table["question_id"], table["text"], strict=True))
        read = [questions[int(i)] for i in known.question_ids[rows]]
        reader = vqa.Reader(chosen, paths, questions, read)
        made_from = json.dumps([dataset, dict(spec), dict(training), share, seed, __version__, len(rows)])
        checkpoint = output / "checkpoint.safetensors"
        network, trained = vqa.train(chosen, reader, known, rows, options, seed, checkpoint, made_from)
        spent = usage.read()
    for split in splits:
        where = known.rows(split)
        best = answerer.answer(
            network, reader.rows(known, where), np.arange(len(where)), answerer.available(options.device)
        )
        ids = known.question_ids[where].tolist()
        predictions = [known.vocabulary.answers[column] for column in best]
        answers.write_results(output / "predictions" / f"{split}.json", ids, predictions, ids)
    identity = fusion_run({"dataset": dataset, "vision": vision, "text": text}, fusion, {}, share, seed)
    network.save(output / "model.safetensors", {"fusion_spec": json.dumps(dict(spec)), "run": json.dumps(identity)})
    Record.of(
        identity | {"kind": spec["kind"], "role": chosen.role},
        n_labelled=len(rows), vocabulary={split: known.record(split) for split in splits}, alphas={},
        training=trained.record(), cost={**spent, "parameters": sum(p.numel() for p in network.parameters())},
    ).write(output / "training.json", [output / "predictions" / f"{split}.json" for split in splits])  # fmt: skip
