"""The stages of image to text: a captioner trained on captions alone, captions through each method's maps, scores."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from ngw import __version__, features, io, meter
from ngw.arguments import Bridge, Count, DecoderOptions, Output, RecordFile, Runs, Seed, Tables, Text, TrainText, Vision
from ngw.cli import stage
from ngw.errors import InputError, naming
from ngw.record import Record
from ngw.registry import make

if TYPE_CHECKING:
    from ngw.features import Features
    from ngw.metrics.text import Scores

VERSION = 1  # of the task, with its scores
DRAWN = ("captioning", "images")  # the random address of the test images that are captioned


def split_captions(tables: Path, split: str) -> dict[str, list]:
    """caption_id, image_id and text of one split's captions."""
    columns = io.read_table(tables / "captions.parquet", ["caption_id", "image_id", "text"], split)
    if not columns["text"]:
        raise InputError(f"{tables}: split {split!r}: expected captions, found none; take other data.")
    return columns


def _texts(tables: Path, split: str, latents: Features, file: Path) -> list[str]:
    """The captions behind a feature file's rows, in their order."""
    captions = split_captions(tables, split)
    text = dict(zip(captions["caption_id"], captions["text"], strict=True))
    missing = [int(i) for i in latents.ids if int(i) not in text]
    if missing:
        raise InputError(
            f"{file}: caption {missing[0]}: expected it in split {split!r} of {tables}, found none "
            f"({len(missing)} captions are missing); encode the captions again."
        )
    return [text[int(i)] for i in latents.ids]


@stage("Train a caption decoder on captions alone.")
def train_captioner(
    tables: Tables, text: Text, seed: Seed, output: Output, options: DecoderOptions = MappingProxyType({})
) -> None:
    """The train-captioner stage: train a decoder on the training captions and their latents; it sees no image."""
    from ngw.tasks.captions import decoder

    latents = features.read(text)
    texts = _texts(tables, "train", latents, text)
    made_from = json.dumps([latents.metadata["sha256"], dict(options), seed, __version__])
    usage = meter.Meter()
    with naming(str(text)):
        model, trained = decoder.fit(
            texts, latents.x, latents.image_ids, make(decoder.Options, "captioner", options), seed,
            output.with_name("checkpoint.safetensors"), made_from,
        )  # fmt: skip
    who = {"dataset": latents.metadata["dataset"], "text": latents.metadata["encoder"], "seed": str(seed)}
    model.save(output, {**who, "training": json.dumps(trained.record()), **meter.written(usage.read())})


@stage("Caption test images through a method's maps.")
def generate_captions(
    decoder: Annotated[Path, "file of the train-captioner stage"], vision: Vision, text: Text, train_text: TrainText,
    tables: Tables, captions: Annotated[Path, "captions in the COCO results format (json)"],
    nearest: Annotated[Path, "the nearest training captions, in the same format (json)"], record: RecordFile,
    model: Annotated[Path | None, "file of a fitted method; without it, the captions' own latents"] = None,
    bridge: Bridge | None = None, count: Count | None = None,
) -> None:  # fmt: skip
    """The generate-captions stage: test images' captions from their mapped latents, and the nearest training captions.

    count: test images drawn at random; None: all.

    Latents come from a fitted method, or from a joint model's bridge; without either, from the images' own first
    captions: the decoder's ceiling.
    """
    from ngw.tasks import latents
    from ngw.tasks.captions.decoder import load, write_results

    captioner, about = load(decoder)
    a, b, known = features.read(vision), features.read(text), features.read(train_text, about["text"])
    if b.metadata["encoder"] != about["text"]:
        raise InputError(f"{text}: expected latents of {about['text']!r}, which the captioner read, found others.")
    training = json.loads(about["training"])
    spent = {"decoder_seconds": float(about["train_seconds"]), "decoder_step": training["step"]}
    rows = latents.drawn(len(a.ids), count, *DRAWN)
    mapped, ids = latents.to_text(model, bridge, a, b, known, int(about["seed"]), rows), a.image_ids[rows].tolist()
    write_results(captions, ids, captioner.write(mapped.latents))
    texts = _texts(tables, "train", known, train_text)
    near = [texts[k] for k in latents.nearest(mapped.queries, mapped.known)]
    write_results(nearest, ids, near)
    Record.of(mapped.who, cost=spent).write(record, [captions, nearest])


@stage("Restrict METEOR's paraphrases to a data set's words.")
def paraphrases(tables: Tables, output: Output) -> None:
    """The paraphrases stage: those of METEOR's paraphrases that a data set's captions can use."""
    from ngw.metrics.paraphrases import write
    from ngw.metrics.text import tokenize, whole_table

    texts = io.read_table(tables / "captions.parquet", ["text"])["text"]
    print(f"{write(whole_table(), tokenize(texts), output):,} pairs of phrases")


@stage("Score the captions of runs.")
def score_captions(
    tables: Tables, runs: Runs, count: Count | None = None,
    paraphrases: Annotated[Path | None, "file of the paraphrases stage; without it, METEOR reads all"] = None,
) -> None:  # fmt: skip
    """The score-captions stage: each run's captions against all references of the test images, and each run's record.

    It scores all runs at once, since starting the two Java programs takes longer than scoring a run.  runs: folders
    with the files of the generate-captions stage.  count: test images that were drawn; None: all.
    """
    from ngw.metrics.text import check, results, scores_of
    from ngw.tasks.latents import drawn

    images = io.read_table(tables / "images.parquet", ["image_id"], "test")["image_id"]
    chosen, references = {images[k] for k in drawn(len(images), count, *DRAWN)}, defaultdict(list)
    columns = split_captions(tables, "test")
    for image, caption in zip(columns["image_id"], columns["text"], strict=True):
        if image in chosen:
            references[image].append(caption)
    captions = {}
    for run in runs:
        for prefix, name in (("", "captions"), ("nearest_", "captions-nearest")):
            file = run / "predictions" / f"{name}.json"
            io.check_vouched(run / "captions.json", file)
            captions[f"{prefix}{run}"] = results(io.read_json(file), str(file))
            with naming(str(file)):
                check(captions[f"{prefix}{run}"], references)
    scores = scores_of(captions, references, paraphrases)
    for run in runs:
        both = {prefix: scores[f"{prefix}{run}"] for prefix in ("", "nearest_")}
        _write_scores(run, list(references), {prefix: captions[f"{prefix}{run}"] for prefix in both}, both)


def _write_scores(
    run: Path, ids: list[int], captions: Mapping[str, Mapping[int, str]], scores: Mapping[str, Scores]
) -> None:
    """Write a run's scores, image by image and in all; keys are prefixes: of the run's or of the nearest captions."""
    from ngw.metrics.text import METRICS

    metrics = {prefix + name: of.metrics[name] for prefix, of in scores.items() for name in METRICS}
    table: dict[str, Any] = {"image_id": ids}
    for prefix, of in scores.items():
        table |= {prefix + "caption": [captions[prefix][i] for i in ids], prefix + "bleu": of.bleu.tolist()}
        table |= {prefix + name: values for name, values in of.items.items()}
    io.write_table(run / "predictions" / "captioning.parquet", table)
    scored = Record.read(run / "captions.json").scored("captioning", VERSION, n_images=len(ids), metrics=metrics)
    scored.write(run / "metrics" / "captioning.json")
