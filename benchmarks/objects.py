"""Do generated pictures show the objects of their captions? A linear classifier judges: ridge regression from the
encoder's features of the training scenes, at the pictures' size, to the scenes' nouns.

For each run: the pictures in which, of all nouns, one of the caption's scene is first, or in the first five. After
`make`:

    python benchmarks/objects.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ngw import encoders, io
from ngw.data._scenes_compose import nouns, sample
from ngw.tasks.images import codec
from ngw.tasks.images.diffusion import closed_form

SPEC = {"kind": "efficientnet-lite", "variant": "lite0"}


def content(image_ids: list[int], split: str, seed: int) -> np.ndarray:
    """Which nouns are in a split's scenes, 0 or 1, [n, nouns]."""
    position, found = {noun: k for k, noun in enumerate(nouns())}, np.zeros((len(image_ids), len(nouns())))
    for row, image_id in zip(found, image_ids, strict=True):
        row[[position[group.noun] for group in sample(seed, split, image_id % 1_000_000).groups]] = 1
    return found


def looked_at(encoder, files: list, size: int) -> np.ndarray:
    """Features [n, d] of pictures after resizing to `size` pixels a side."""
    blocks = tqdm(range(0, len(files), 32), desc="look", leave=False)
    return np.concatenate([encoder.encode(codec.prepared(files[k : k + 32], size)).pooled for k in blocks])


def main() -> None:
    """Print a line for the real images and one for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--runs", default="effnet-lite0__*/*/pairs*/*/seed0", help="a pattern below results/runs/scenes"
    )
    parser.add_argument("--size", type=int, default=48, help="pixels of a side, the image decoder's")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes")
    args = parser.parse_args()
    train, test = (
        dict(
            zip(*io.read_table("results/data/scenes/images.parquet", ["image_id", "path"], split).values(), strict=True)
        )
        for split in ("train", "test")
    )
    encoder = encoders.build(SPEC)
    features = looked_at(encoder, list(train.values()), args.size)
    mean = features.mean(0, dtype=np.float64)

    def directions(x: np.ndarray) -> np.ndarray:
        return (x - mean) / np.linalg.norm(x - mean, axis=1, keepdims=True)

    arrays, _ = closed_form(directions(features), content(list(train), "train", args.seed), ridge=0.3)

    def told(name: str, drawn: dict) -> None:
        wanted = content(list(drawn), "test", args.seed)
        score = directions(looked_at(encoder, list(drawn.values()), args.size)) @ arrays["map"] + arrays["typical"]
        best = np.where(wanted > 0, (-score).argsort(1).argsort(1), len(nouns())).min(1)
        print(f"{name:32} {100 * np.mean(best < 1):5.1f} {100 * np.mean(best < 5):5.1f}", flush=True)

    print(f"{'% of pictures':32} first  five")
    runs = sorted(Path("results/runs/scenes").glob(f"{args.runs}/predictions/images.zip"))
    for k, path in enumerate(runs):
        drawn = codec.read(path)
        if k == 0:
            told("real", {image_id: test[image_id] for image_id in drawn})
        told(" ".join(path.parts[-6:-3]), drawn)


if __name__ == "__main__":
    main()
