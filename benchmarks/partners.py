"""What the unpaired rows are worth where their partners are on the other side, and where none is: R@1 on the scenes.

Each side gets the known pairs and half of the other rows: the same half (every row has its partner in the other cloud,
in an unknown place), or one half here and the other half there (no unpaired row has a partner). Run it after `make`:

    python benchmarks/partners.py --pairs 100 300 --methods warp sotalign cca
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ngw import features, methods
from ngw.features.clouds import Clouds, clouds
from ngw.tasks.retrieval import evaluate


def halved(c: Clouds, apart: bool, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, y, pairs [k, 2]) with half of the unpaired rows on each side, in an order of their own."""
    known = set(map(tuple, c.pairs.tolist()))
    rest = np.array([pair for pair in c.truth.tolist() if tuple(pair) not in known])
    order, half = np.random.default_rng(seed).permutation(len(rest)), len(rest) // 2
    here = rest[order[:half]]
    there = rest[order[half : 2 * half]] if apart else here
    rows = np.concatenate([c.pairs[:, 0], here[:, 0]]), np.concatenate([c.pairs[:, 1], there[:, 1]])
    shuffles = [np.random.default_rng(seed + 1 + side).permutation(len(row)) for side, row in enumerate(rows)]
    x, y = (z[row[shuffle]] for z, row, shuffle in zip((c.x, c.y), rows, shuffles, strict=True))
    return x, y, np.stack([np.argsort(shuffle)[: len(c.pairs)] for shuffle in shuffles], axis=1)


def main() -> None:
    """Print R@1 both ways, a line a budget, method and kind of halves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, default=Path("results/features/scenes"))
    parser.add_argument("--vision", default="effnet-lite0")
    parser.add_argument("--text", default="minilm-l6")
    parser.add_argument("--methods", nargs="+", default=["warp", "sotalign", "cca"], help="kinds, with their defaults")
    parser.add_argument("--pairs", nargs="+", type=int, default=[100, 300])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    train, test = (
        [features.read(args.features / split / f"{name}.safetensors") for name in (args.vision, args.text)]
        for split in ("train", "test")
    )
    for pairs in args.pairs:
        for kind in args.methods:
            for apart in (False, True):
                found = []
                for seed in args.seeds:
                    x, y, known = halved(clouds(*train, pairs, seed), apart, seed)
                    found.append(evaluate(methods.build({"kind": kind}).fit(x, y, known, seed), *test).metrics)
                i2t, t2i = (100 * np.mean([m[f"{way}_recall_1"] for m in found]) for way in ("i2t", "t2i"))
                print(f"{pairs} pairs  {kind:12s} {'apart' if apart else 'same '}  {i2t:5.1f} / {t2i:.1f}", flush=True)


if __name__ == "__main__":
    main()
