"""A folder of small images with captions, and a dual encoder between two real encoders that was fitted on them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from miniatures import picture, said

from ngw.dual import encoder
from ngw.dual.encoder import DualEncoder
from ngw.methods import build

N = 24


def album(folder: Path, n: int = N, captioned: int | None = None, suffix: str = "png") -> Path:
    """`n` images in a folder, of which the first have captions, two each, in captions.csv beside it."""
    for k in range(n):
        picture(folder / f"{'ab'[k % 2]}" / f"{k:03}.{suffix}", k)
    with open(folder.parent / "captions.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        for k in range(n if captioned is None else captioned):
            for text in said(k)[:2]:
                writer.writerow([f"{'ab'[k % 2]}/{k:03}.{suffix}", text])
    return folder


def paths(folder: Path, n: int = N) -> list[str]:
    """The images in the order of their numbers."""
    return [str(folder / f"{'ab'[k % 2]}" / f"{k:03}.png") for k in range(n)]


def fitted(folder: Path, kind: str = "ridge", **options) -> DualEncoder:
    """EfficientNet-Lite0 and MiniLM, aligned by the album's images and first captions."""
    vision, text = (
        encoder.sides.build(name, side) for name, side in (("effnet-lite0", "vision"), ("minilm-l6", "text"))
    )
    x = vision.encode(paths(folder)).pooled
    y = text.encode([said(k)[0] for k in range(N)]).pooled
    method = build({"kind": kind, **options}).fit(x, y, np.arange(N))
    return DualEncoder("effnet-lite0", "minilm-l6", method, {"pairs": N, "data": "an album"})
