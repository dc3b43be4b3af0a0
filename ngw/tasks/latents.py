"""The latents that a decoder reads from the other modality: a method's mapped ones, a joint model's through its shared
space, or the true ones as the ceiling."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ngw import io
from ngw.errors import InputError, naming
from ngw.features import Features
from ngw.maps.linear import ridge
from ngw.methods.base import unit
from ngw.record import run, spaces
from ngw.seeds import rng
from ngw.tasks import CEILING


class Mapped(NamedTuple):
    """who: the record's first fields.  latents [n, d]: for the decoder.  queries [n, e], known [m, e]: of the test
    items, and of the training items of the decoder's modality; the largest cosine gives the nearest training item."""

    who: dict[str, Any]
    latents: np.ndarray
    queries: np.ndarray
    known: np.ndarray


def drawn(n: int, count: int | None, *address: str) -> np.ndarray:
    """`count` of n rows at random, sorted, the same for all methods; all rows if there are fewer, or for None."""
    return np.sort(rng(0, *address).permutation(n)[:count])


def to_text(
    model: Path | None, bridge: Path | None, a: Features, b: Features, train: Features, seed: int, rows: np.ndarray
) -> Mapped:
    """Text latents for the test images in some rows of `a`; b: the test captions; train: the training captions."""
    if bridge is not None:
        who, spaces = read_bridge(bridge, a, b)
        return Mapped(who, spaces["text"][rows], spaces["images"][rows], spaces["train_captions"])
    if model is None:
        latents, centre = first_captions(a, b)[rows], train.x.mean(0)
        return Mapped(_ceiling(a, b, seed), latents, latents - centre, train.x - centre)
    aligner, who = _fitted(model)
    with naming(f"{model}, {a.metadata['encoder']}"):
        return Mapped(who, aligner.transform(a.x[rows]), *aligner.embed(a.x[rows], train.x))


def to_vision(
    model: Path | None, bridge: Path | None, a: Features, b: Features, train: Features, seed: int, rows: np.ndarray
) -> Mapped:
    """Image latents for the first captions of the test images in some rows of `a`; train: the training images."""
    if bridge is not None:
        who, spaces = read_bridge(bridge, a, b)
        first = first_rows(a, b)[rows]
        return Mapped(who, spaces["vision"][first], spaces["captions"][first], spaces["train_images"])
    if model is None:
        latents, centre = a.x[rows], train.x.mean(0)
        return Mapped(_ceiling(a, b, seed), latents, latents - centre, train.x - centre)
    aligner, who = _fitted(model)
    captions = first_captions(a, b)[rows]
    with naming(f"{model}, {b.metadata['encoder']}"):
        known, queries = aligner.embed(train.x, captions)
        return Mapped(who, aligner.inverse_transform(captions), queries, known)


def nearest(queries: np.ndarray, known: np.ndarray, block: int = 512) -> np.ndarray:
    """For each query [n, e] the row of known [m, e] with the largest cosine, [n]."""
    known = unit(known).T
    parts = [(unit(queries[k : k + block]) @ known).argmax(1) for k in range(0, len(queries), block)]
    return np.concatenate(parts)


def first_rows(a: Features, b: Features) -> np.ndarray:
    """The row of each image's first caption, [n_images]."""
    row = {int(image): k for k, image in reversed(list(enumerate(b.image_ids)))}
    return np.array([row[int(image)] for image in a.image_ids])


def first_captions(a: Features, b: Features) -> np.ndarray:
    """The latent of each image's first caption, [n_images, d]."""
    return b.x[first_rows(a, b)]


def bridged(
    inside: dict[str, np.ndarray], images: np.ndarray, captions: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """From a joint model's shared space to the latents of two decoders, each step within one modality, without pairs.

    The decoders read latents of frozen encoders. A ridge regression from the joint model's features of the training
    texts to the latents of the same texts is applied to its features of the test images; likewise for images.

    Args:
        inside: of the joint model, [n, e] each: images and captions (test), train_images and train_captions.
        images, captions: latents of the training images [m, d_a] and captions [k, d_b].

    Returns the arrays of a bridge file, and the penalties.
    """
    there, offset, text = ridge(inside["train_captions"], captions)
    back, start, vision = ridge(inside["train_images"], images)
    latents = {"text": inside["images"] @ there + offset, "vision": inside["captions"] @ back + start}
    arrays = {name: value.astype(np.float32) for name, value in {**inside, **latents}.items()}
    return arrays, {"text_penalty": text, "vision_penalty": vision}


def read_bridge(path: Path, a: Features, b: Features) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The record's first fields and the arrays of a bridge file, whose rows belong to these test features."""
    arrays, head = io.read_tensors(path, "a bridge", "bridge")
    for name, side in (("images", a), ("captions", b)):
        if len(arrays[name]) != len(side.ids) or head[f"{name}_sha256"] != side.metadata["sha256"]:
            raise InputError(f"{path}: expected the {name} of these features, found others; make the bridge again.")
    return {**run(head, head["role"]), "converged": True}, arrays


def _ceiling(a: Features, b: Features, seed: int) -> dict[str, Any]:
    own = {"method": CEILING, "pairs": "all", "unpaired": "none", "seed": seed, "kind": CEILING, "role": "control"}
    return spaces(a.metadata, b.metadata) | own | {"converged": True}


def _fitted(model: Path):
    """A fitted method, and the record's first fields."""
    from ngw import methods

    aligner, head = methods.load_with_metadata(model)
    return aligner, {**run(head, aligner.role), "converged": bool(aligner.converged_)}
