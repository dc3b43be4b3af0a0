"""How good is the judge of generated pictures? It pairs real test images and their captions by its cosine.

For each judge: R@1, R@5 and R@10 in per cent, captions of images and images of captions, and the score of real images
at the decoder's size. After `make`:

    python benchmarks/judge.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ngw import io
from ngw.methods.base import unit
from ngw.metrics.image import clip_score
from ngw.metrics.retrieval import CUTOFFS, ranks, recall_at


def main() -> None:
    """Print a line for each reference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("references", nargs="*", type=Path, help="files of rule `reference`; default: all in results")
    args = parser.parse_args()
    print(f"{'R@1, 5, 10':40} {'captions':>18} {'images':>18} {'score':>7}")
    for path in args.references or sorted(Path("results/decoders").rglob("reference.safetensors")):
        arrays, _ = io.read_tensors(path, "a reference", "reference")
        images, texts = arrays["images"], arrays["texts"]
        sides = ranks(unit(images), unit(texts), np.arange(len(images)))
        told = [" ".join(f"{100 * recall_at(side, k):5.1f}" for k in CUTOFFS) for side in sides]
        score = clip_score(images, texts)
        name = f"{path.parts[-3]} {path.parts[-2]}, {len(images)} images"
        print(f"{name:40} {told[0]:>18} {told[1]:>18} {score:7.1f}")


if __name__ == "__main__":
    main()
