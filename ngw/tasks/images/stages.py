"""The stages of text to image: an imager trained on images alone, pictures through each method's maps, judgements."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np

from ngw import __version__, features, io, meter
from ngw.arguments import (
    Bridge,
    Clip,
    Count,
    DecoderOptions,
    Judges,
    KeptFile,
    Output,
    RecordFile,
    Runs,
    Seed,
    Tables,
    Text,
    TrainVision,
    Vision,
    spec,
)
from ngw.cli import stage
from ngw.encoders import _huggingface
from ngw.errors import InputError, naming
from ngw.metrics.image import cosines, with_scores
from ngw.record import Record
from ngw.registry import make
from ngw.tasks.captions.stages import split_captions
from ngw.tasks.images.options import ImagerOptions

VERSION = 2  # of the task, with its judges
DRAWN = ("imaging", "images")  # the random address of the test images whose captions are drawn


def _paths(tables: Path, ids: np.ndarray) -> list[str]:
    """The files of some images."""
    columns = io.read_table(tables / "images.parquet", ["image_id", "path"])
    path = dict(zip(columns["image_id"], columns["path"], strict=True))
    missing = [int(i) for i in ids if int(i) not in path]
    if missing:
        raise InputError(
            f"{tables}: image {missing[0]}: expected its file, found none ({len(missing)} images have none); re-encode."
        )
    return [path[int(i)] for i in ids]


@stage("Train an image decoder on images alone.")
def train_image_decoder(
    tables: Tables, vision: Vision, seed: Seed, output: Output, options: DecoderOptions = MappingProxyType({}),
    kept: KeptFile = None,
) -> None:  # fmt: skip
    """The train-image-decoder stage: a decoder from the training images and their latents; it sees no text."""
    from ngw.tasks.images import diffusion

    latents, chosen = features.read(vision), make(ImagerOptions, "imager", options)
    made_from = json.dumps([latents.metadata["sha256"], dict(options), seed, __version__])
    usage = meter.Meter()
    with naming(str(vision)):
        if chosen.unclip is not None:
            from ngw.tasks.images.unclip import Unclip

            model: Any = Unclip.of(chosen, latents.x)
            training = {"steps": 0, "step": 0}
        elif chosen.network == "local":
            from ngw import encoders
            from ngw.tasks.images.local_score import LocalScore

            paths, spec = _paths(tables, latents.ids), latents.metadata["spec"]
            encoder = encoders.build(json.loads(spec))
            if kept is not None:
                encoder = features.Kept(encoder, kept, spec, paths, latents.ids.tolist())
            model, training = LocalScore.of(chosen, paths, latents.x, encoder), {"steps": 0, "step": 0}
        else:
            checkpoint = output.with_name("checkpoint.safetensors")
            paths = _paths(tables, latents.ids)
            model, trained = diffusion.fit(paths, latents.x, latents.ids, chosen, seed, checkpoint, made_from)
            training = trained.record()
    who = {"dataset": latents.metadata["dataset"], "vision": latents.metadata["encoder"], "seed": str(seed)}
    model.save(output, {**who, "training": json.dumps(training), **meter.written(usage.read())})


@stage("Draw test captions through a method's maps.")
def generate_images(
    decoder: Annotated[Path, "file of the train-image-decoder stage"], vision: Vision, text: Text,
    train_vision: TrainVision, count: Count, images: Annotated[Path, "where the pictures go (zip of png)"],
    nearest: Annotated[Path, "where the nearest training images' ids go (json)"], record: RecordFile,
    model: Annotated[Path | None, "file of a fitted method; without it, the images' own latents"] = None,
    bridge: Bridge | None = None,
) -> None:  # fmt: skip
    """The generate-images stage: pictures of test captions' mapped latents, and the nearest training images.

    Latents come from a fitted method, or from a joint model's bridge; without either, from the captions' own images:
    the decoder's ceiling.  count: test images drawn at random, with the first caption of each; all if there are
    fewer.
    """
    from ngw.tasks import latents
    from ngw.tasks.images import codec, decoders

    imager, about = decoders.load(decoder)
    a, known = (features.read(path, about["vision"]) for path in (vision, train_vision))
    b, chosen = features.read(text), latents.drawn(len(a.ids), count, *DRAWN)
    ids, training = a.ids[chosen], json.loads(about["training"])
    spent = {"decoder_seconds": float(about["train_seconds"]), "decoder_step": training["step"]}
    mapped = latents.to_vision(model, bridge, a, b, known, int(about["seed"]), chosen)
    start = time.perf_counter()
    drawn = imager.draw(mapped.latents, ids.tolist(), mapped.who["seed"])
    spent["seconds_an_image"] = (time.perf_counter() - start) / len(ids)
    codec.write(images, dict(zip(ids.tolist(), drawn, strict=True)))
    near = known.ids[latents.nearest(mapped.queries, mapped.known)]
    io.write_json(nearest, [{"image_id": int(i), "nearest": int(k)} for i, k in zip(ids, near, strict=True)])
    Record.of(mapped.who, cost=spent).write(record, [nearest])


@stage("Compute the judges' features of real test images and captions.")
def reference(
    tables: Tables, vision: Vision, count: Count,
    spec: Annotated[Mapping, spec, "the feature network's config entry, as JSON"], scorer: Clip, output: Output,
    options: DecoderOptions = MappingProxyType({}),
) -> None:  # fmt: skip
    """The reference stage: the judges' (a feature network's, a CLIP's) features of real test images and captions.

    spec: of the feature network, an encoder of images.  scorer: a folder with a CLIP.  options: the image decoder's;
    the real images pass through its size, so that judges see no difference of resolution.
    """
    from ngw import encoders
    from ngw.tasks.latents import drawn

    a = features.read(vision)
    ids = a.ids[drawn(len(a.ids), count, *DRAWN)]
    columns = split_captions(tables, "test")
    text = dict(zip(columns["image_id"][::-1], columns["text"][::-1], strict=True))  # each image's first
    judge, size = _judge(scorer, "vision"), make(ImagerOptions, "imager", options).size
    seen, images = _seen([encoders.build(spec), judge], _paths(tables, ids), size)
    reader, captions = _judge(scorer, "text"), [text[int(i)] for i in ids]
    texts = np.concatenate([reader.encode(captions[k : k + 32]).pooled for k in range(0, len(captions), 32)])
    arrays = {"ids": ids, "features": seen, "images": images, "texts": texts}
    io.write_tensors(output, arrays, {"reference": json.dumps(dict(spec))})


def _judge(scorer: str, side: str):
    """One side of a CLIP, from a folder or published."""
    from ngw import encoders

    folder = _huggingface.folder(scorer)
    width = io.read_json(folder / "config.json")["projection_dim"]
    return encoders.build({"kind": "clip", "side": side, "model": str(folder), "width": width})


def _seen(judges: Sequence[Any], files: Sequence[Any], drawn: int | None = None) -> list[np.ndarray]:
    """Each judge's features of pictures (paths or open files), [n, width], a few pictures at a time.

    drawn: the pixels of an intermediate size, if they are fewer than the judges'.
    """
    from ngw.tasks.images import codec

    parts: list[list[np.ndarray]] = [[] for _ in judges]
    for k in range(0, len(files), 32):
        some = codec.prepared(files[k : k + 32], drawn or codec.EVALUATED)
        for part, judge in zip(parts, judges, strict=True):
            part.append(judge.encode(some).pooled)
    return [np.concatenate(part) for part in parts]


@stage("Judge the pictures of runs against real images and captions.")
def score_images(
    tables: Tables, runs: Runs, reference: Annotated[Path, "file of the reference stage"], scorer: Clip, judges: Judges
) -> None:
    """The score-images stage: each run's pictures against real ones and against their captions, and each run's record.

    It scores all runs at once, since loading the judges takes longer than judging.  runs: folders with the files of the
    generate-images stage.  judges: {"network": name, "axes": int or None, "scorer": name}: feature network and CLIP.
    """
    from tqdm import tqdm

    from ngw import encoders
    from ngw.tasks.images import codec

    arrays, head = io.read_tensors(reference, "a reference", "reference")
    ids, near = arrays["ids"].tolist(), {run: _nearest(run, arrays["ids"].tolist(), reference) for run in runs}
    spec, judge = json.loads(head["reference"]), _judge(scorer, "vision")
    network, names = encoders.build(spec), metric_names(spec["kind"], judges)
    known: dict[int, np.ndarray] = {}
    for run in tqdm(runs, desc="judge", unit="run", mininterval=1):
        drawn = codec.read(run / "predictions" / "images.zip")
        made, rated = _seen([network, judge], [drawn[i] for i in ids])
        new = sorted(set(near[run]) - known.keys())  # training images that no earlier run has as nearest
        if new:
            known |= dict(zip(new, *_seen([judge], _paths(tables, np.array(new))), strict=True))
        with naming(f"{run}, {reference}"):
            distances = compared(made, arrays["features"], judges["axes"])
            scores = {
                "cosine": cosines(rated, arrays["texts"]),
                "nearest_cosine": cosines(np.stack([known[i] for i in near[run]]), arrays["texts"]),
                "real_cosine": cosines(arrays["images"], arrays["texts"]),
            }
        io.write_table(run / "predictions" / "imaging.parquet", {"image_id": arrays["ids"], **scores})
        metrics = {**distances, **with_scores({name: float(values.mean()) for name, values in scores.items()})}
        record = Record.read(run / "images.json")
        record = record.scored("imaging", VERSION, n_images=len(ids), names=names, metrics=metrics)
        record.write(run / "metrics" / "imaging.json")


def _nearest(run: Path, ids: list[int], reference: Path) -> list[int]:
    """The ids of the training images nearest to a run's pictures of these test images' captions."""
    from ngw.tasks.images import codec

    files = run / "predictions" / "images.zip", run / "predictions" / "images-nearest.json"
    io.check_vouched(run / "images.json", files[1])
    neighbours = {e["image_id"]: e["nearest"] for e in io.read_json(files[1])}
    for file, known in zip(files, (codec.read(files[0]), neighbours), strict=True):
        if set(known) != set(ids):
            raise InputError(
                f"{file}: expected a picture for each of the {len(ids)} real images of {reference}, found {len(known)} "
                f"({len(set(known) & set(ids))} of these); draw them again."
            )
    return [neighbours[i] for i in ids]


def metric_names(kind: str, judges: Mapping[str, Any]) -> dict[str, str]:
    """The metrics' names: FID and KID only for Inception, CLIP score only for a published CLIP."""
    if kind == "inception" and judges["axes"] is None:
        distances = {"fd": "fid", "kd": "kid"}
    else:
        axes = "" if judges["axes"] is None else f"-pca{judges['axes']}"
        distances = {"fd": f"fd[{judges['network']}{axes}]", "kd": f"kd[{judges['network']}]"}
    published = judges.get("published")
    rated = {score: f"clip_{score}" if published else f"{score}[{judges['scorer']}]" for score in ("score", "cosine")}
    return distances | {side + score: side + rated[score] for side in ("", "nearest_", "real_") for score in rated}


def compared(made: np.ndarray, real: np.ndarray, axes: int | None, groups: int = 16) -> dict[str, Any]:
    """Frechet and kernel distance of features [n, d], each with a jackknife's standard error over groups of images.

    axes: the number of principal axes of the real features for the Frechet distance, for small sets; None: the
    features themselves.  The kernel distance uses all features.
    """
    from ngw.metrics.image import frechet, mmd

    narrow = (lambda x: x) if axes is None else _axes(real, axes)
    part = np.arange(len(real)) % groups
    distances: dict[str, Any] = {}
    for name, distance, x, y in (("fd", frechet, narrow(made), narrow(real)), ("kd", mmd, made, real)):
        distances[name] = distance(x, y)
        left = np.array([distance(x[part != g], y[part != g]) for g in range(groups)])
        distances[f"{name}_error"] = float(np.sqrt((groups - 1) / groups * ((left - left.mean()) ** 2).sum()))
    return distances


def _axes(real: np.ndarray, axes: int):
    """Projection onto the first principal axes of features."""
    mean = real.mean(0, dtype=np.float64)
    vectors = np.linalg.svd(real - mean, full_matrices=False)[2][:axes].T
    return lambda x: (x - mean) @ vectors
