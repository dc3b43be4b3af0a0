"""Image-text retrieval both ways (PROTOCOL: found if any of an image's captions is in the top K; mid-rank ties)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.errors import InputError
from ngw.features import Features
from ngw.methods.base import Method
from ngw.metrics.retrieval import ranks, summary

VERSION = 1  # of the protocol; it stands in every record


@dataclass
class Result:
    """Per-query ranks as a table (direction, query_id, image_id, rank), and the metrics by name."""

    table: dict[str, list | np.ndarray]
    metrics: dict[str, float]


def evaluate(method: Method, vision: Features, text: Features) -> Result:
    """Rank every caption for every image and every image for every caption, by blocks."""
    row_of = {image_id: row for row, image_id in enumerate(vision.ids.tolist())}
    stranger = next((c for c, i in zip(text.ids, text.image_ids, strict=True) if int(i) not in row_of), None)
    if stranger is not None:
        raise InputError(f"caption {stranger}: its image is not in the test split; encode both sides from one split.")
    owner = np.array([row_of[i] for i in text.image_ids.tolist()])
    u, v = method.embed(vision.x, text.x)
    i2t, t2i = ranks(u, v, owner)
    table = {
        "direction": ["i2t"] * len(i2t) + ["t2i"] * len(t2i),
        "query_id": np.concatenate([vision.ids, text.ids]),
        "image_id": np.concatenate([vision.ids, text.image_ids]),
        "rank": np.concatenate([i2t, t2i]).astype(np.float64),
    }
    return Result(table, {name: float(value) for name, value in summary(i2t, t2i).items()})
