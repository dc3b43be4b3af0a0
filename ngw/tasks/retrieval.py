"""Image-text retrieval both ways (PROTOCOL: a hit if any of an image's captions is in the top K; mid-rank ties)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ngw.features import Features
from ngw.features.clouds import owners
from ngw.metrics.retrieval import folded, ranks, summary

VERSION = 1  # of the protocol, in every record


@dataclass
class Result:
    """Per-query ranks as a table (direction, query_id, image_id, rank), and the metrics by name."""

    table: dict[str, list | np.ndarray]
    metrics: dict[str, float]


class Embeds(Protocol):
    """The part of a method that ranking needs."""

    def embed(self, u: Any, v: Any, /) -> tuple[np.ndarray, np.ndarray]:
        """Both clouds in one space, at unit length: [n, e], [m, e]."""


def evaluate(method: Embeds, a: Features, b: Features) -> Result:
    """Rank every caption for every image (`i2t`) and every image for every caption (`t2i`), by blocks.

    For two encoders of one modality, `i2t` goes from the first one's items to the second one's, `t2i` back.
    """
    owner = owners(a, b)
    u, v = method.embed(a.x, b.x)
    i2t, t2i = ranks(u, v, owner)
    table: dict[str, list | np.ndarray] = {
        "direction": ["i2t"] * len(i2t) + ["t2i"] * len(t2i),
        "query_id": np.concatenate([a.ids, b.ids]),
        "image_id": np.concatenate([a.image_ids, b.image_ids]),
        "rank": np.concatenate([i2t, t2i]).astype(np.float64),
    }
    metrics = {**summary(i2t, t2i), **folded(u, v, owner)}
    return Result(table, {name: float(value) for name, value in metrics.items()})
