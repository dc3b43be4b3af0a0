"""The stages of joint training: a CLIP from scratch on the pairs that the aligners know, and its rows of the tables."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ngw import __version__, io
from ngw.clouds import clouds
from ngw.errors import InputError
from ngw.features import Features
from ngw.stages import cost_since, naming


def joint(tables: Path, pairs: str, captions: int, options: Mapping[str, Any], seed: int, output: Path) -> None:
    """The joint stage: train a CLIP on a budget of known pairs, those that the aligners of this seed know."""
    from ngw.tasks import joint as task

    paths, texts, ids = known_pairs(tables, pairs, captions, seed)
    identity = json.dumps([pairs, captions, dict(options), seed, __version__, len(ids)])
    start = time.perf_counter()
    with naming(str(tables)):
        model, words, trained = task.fit(
            paths, texts, ids, task.Options(**options), seed, output.parent / f"{output.name}.checkpoint.safetensors",
            identity,
        )  # fmt: skip
    about = {"pairs": pairs, "seed": seed, "images": len(ids), "version": __version__, "training": trained.record()}
    about |= {"parameters": sum(p.numel() for p in model.parameters()), **cost_since(start)}
    task.save(output, model, words, task.Options(**options).size, about)


def known_pairs(tables: Path, pairs: str, captions: int, seed: int) -> tuple[list[str], list[list[str]], np.ndarray]:
    """Image files, the known captions of each, and the images' ids: `clouds` draws them, here of row numbers."""
    pictures = io.read_table(tables / "images.parquet", ["image_id", "path"], "train")
    said = io.read_table(tables / "captions.parquet", ["caption_id", "image_id", "text"], "train")
    if not said["text"]:
        raise InputError(f"{tables}: split 'train': expected captions, found none; take other data.")
    rows = [np.arange(len(columns["image_id"]), dtype=np.float32)[:, None] for columns in (pictures, said)]
    ids = np.array(pictures["image_id"])
    a = Features(ids, ids, rows[0], {})
    b = Features(np.array(said["caption_id"]), np.array(said["image_id"]), rows[1], {})
    with naming(str(tables)):
        two = clouds(a, b, pairs, seed, captions)
    texts: dict[int, list[str]] = {}
    for i, j in two.pairs:
        texts.setdefault(int(two.x[i, 0]), []).append(said["text"][int(two.y[j, 0])])
    return [pictures["path"][k] for k in texts], list(texts.values()), ids[list(texts)]
