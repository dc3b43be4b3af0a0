"""Methods and their options on validation images: the numbers behind docs/decisions, without a look at a test split.

    snakemake --profile profiles/local results/features/scenes/{train,val}/{effnet-lite0,minilm-l6}.safetensors
    python benchmarks/validation.py results/features/scenes effnet-lite0 minilm-l6 --methods ngw ngw~robust=false

FOLDER holds the features of a data set, one folder a split. Methods have their names in the tables, options behind `~`.
Prints R@1 and R@10 in per cent, means of both directions and of the seeds, and the processor seconds of a fit.
`--draws 4` tests on four further sets of images, held out of the training images: few images are a matter of chance.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ngw import features
from ngw.comparison import build, named, of_images
from ngw.features import Features
from ngw.features.clouds import Clouds, clouds
from ngw.seeds import rng
from ngw.tasks.retrieval import evaluate

Sides = list[Features]


def splits(folder: Path, encoders: list[str], draws: int) -> Iterator[tuple[Sides, Sides]]:
    """Training and validation items: the data set's own, then `draws` times with training images held out."""
    train, val = (
        [features.read(folder / split / f"{name}.safetensors") for name in encoders] for split in ("train", "val")
    )
    yield train, val
    order, size = rng(0, "validation").permutation(np.unique(train[0].image_ids)), len(np.unique(val[0].image_ids))
    for first in range(0, draws * size, size):
        held = order[first : first + size]
        kept = np.setdiff1d(order, held)
        yield [of_images(side, kept) for side in train], [of_images(side, held) for side in train]


def measure(spec: dict, two: Clouds, val: Sides, seed: int) -> tuple[float, float, float]:
    """A method's R@1 and R@10 in per cent, each the mean of both directions, and the processor seconds of its fit."""
    start, model = time.process_time(), build(spec)
    model.fit(two.x, two.y, two.truth if model.supervision == "all" else two.pairs, seed)
    seconds, found = time.process_time() - start, evaluate(model, *val).metrics
    return *(50 * (found[f"i2t_recall_{k}"] + found[f"t2i_recall_{k}"]) for k in (1, 10)), seconds


def main() -> None:
    """Fit and rank all, then print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("encoders", nargs=2, metavar=("VISION", "TEXT"))
    parser.add_argument("--methods", nargs="+", default=["ngw", "sotalign", "cca", "ridge"])
    parser.add_argument("--pairs", nargs="+", default=["100", "300"], help="numbers, or all")
    parser.add_argument("--unpaired", nargs="+", default=["shared", "disjoint"], choices=("shared", "disjoint", "none"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=0)
    chosen = parser.parse_args()
    methods = named(chosen.methods)
    cells = [(setting, pairs) for setting in chosen.unpaired for pairs in chosen.pairs]
    found: dict[tuple, list] = {(name, *cell): [] for name in methods for cell in cells}
    bar = tqdm(total=(1 + chosen.draws) * chosen.seeds * len(found), desc="validation", unit="fit", mininterval=5)
    for train, val in splits(chosen.folder, chosen.encoders, chosen.draws):
        for seed in range(chosen.seeds):
            for setting, pairs in cells:
                two = clouds(*train, pairs, seed, unpaired=setting)
                for name, spec in methods.items():
                    found[name, setting, pairs].append(measure(spec, two, val, seed))
                    bar.update()
    bar.close()
    print("| R@1, R@10, seconds |", " | ".join(f"{setting}, {pairs}" for setting, pairs in cells), "|")
    print("| --- |", "--- |" * len(cells))
    for name in methods:
        means = (np.mean(found[name, *cell], axis=0) for cell in cells)
        print(f"| {name} |", " | ".join("{:.1f}, {:.1f}, {:.1f}".format(*mean) for mean in means), "|", flush=True)


if __name__ == "__main__":
    main()
