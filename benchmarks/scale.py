"""The paper's size without its data: 113,287 images and captions of 768 features, 10,000 known pairs, on any machine.

    python benchmarks/scale.py FOLDER [--images 113287] [--runs rounds=1 rounds=6] [--memory 4000]

Writes feature files of the official split sizes (COCO Karpathy: 113,287 training images, 5,000 test images with 25,000
captions) of a synthetic pair of encoders, then runs the stages transport, maps and retrieval as the workflow does, each
in a process, for each of the runs (options of NGW, as behind the `~` of a derived name), and prints what each took:
seconds, CPU seconds, peak memory. Finished stages are not run again. `rounds=6~early_rows=1000000` has no small rounds.
The plan's kernel takes half of what is left of `--memory` (MB), as in a SLURM job that requests so much; `--processes`
share it, and the plan's rows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from ngw import features

LATENT, CAPTIONS, BLOCK = 384, 5, 8192
SPECTRUM = np.arange(1, LATENT + 1) ** -0.5  # of the shared latent: its variance isn't in a few directions


def points(first: int, count: int, stream: int) -> np.ndarray:
    """The latents of some items by their numbers, [count, LATENT]: the same for both sides."""
    rows = [np.random.default_rng([stream, k]).standard_normal((BLOCK, LATENT)) for k in
            range(first // BLOCK, (first + count - 1) // BLOCK + 1)]  # fmt: skip
    start = first % BLOCK
    return np.concatenate(rows)[start : start + count] * SPECTRUM


def write(path: Path, modality: str, items: int, per_item: int, stream: int, noise: float, width: int) -> None:
    """A feature file of `per_item` views of each item, block by block: memory doesn't grow with it."""
    n, mixing = items * per_item, np.random.default_rng(len(modality)).standard_normal((LATENT, width)) / LATENT**0.5
    head = {"dataset": "synthetic", "split": path.parent.name, "encoder": modality, "modality": modality}
    shapes = {"ids": ("int64", (n,)), "image_ids": ("int64", (n,)), "pooled": ("float32", (n, width))}
    with features.writer(path, shapes, head) as out:
        out["ids"][:], out["image_ids"][:] = np.arange(n), np.arange(n) // per_item
        for first in range(0, items, BLOCK):
            count = min(BLOCK, items - first)
            seen = np.repeat(points(first, count, stream) @ mixing, per_item, 0)
            own = np.random.default_rng([stream, first, len(modality)]).standard_normal(seen.shape)
            rows = slice(first * per_item, (first + count) * per_item)
            out["pooled"][rows] = np.tanh(seen) + noise * own


def stage(name: str, *options: str, processes: int = 1) -> tuple[float, float, float]:
    """Run a stage: (seconds, CPU seconds of all processes, peak memory of one in MB)."""
    start = time.perf_counter()
    shared = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    process = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, *shared, "-m", "ngw", name, *options])
    _, status, used = os.wait4(process, 0)
    if status:
        sys.exit(f"{name}: status {status}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def stages(run: str, folder: Path, file: dict[tuple[str, str], Path], given: list[str], processes: int) -> None:
    """Run a run's unfinished stages; print their seconds and memory, and the recalls."""
    changes = dict(change.split("=") for change in run.split("~"))
    spec = json.dumps({"kind": "warp"} | {key: json.loads(value) for key, value in changes.items()})
    clouds = ["--vision", str(file["train", "vision"]), "--text", str(file["train", "text"])]
    who = ["--method", "ngw", "--spec", spec, "--seed", "0", *given]
    plan, model, record = (folder / run / name for name in ("plan.safetensors", "model.safetensors", "retrieval.json"))
    test = ["--model", str(model), "--vision", str(file["test", "vision"]), "--text", str(file["test", "text"])]
    test += ["--predictions", str(folder / run / "ranks.parquet"), "--record", str(record)]
    for name, output, options in (
        ("transport", plan, [*clouds, *who, "--output", str(plan)]),
        ("maps", model, [*clouds, *who, "--plan", str(plan), "--output", str(model)]),
        ("retrieval", record, test),
    ):
        if not output.is_file():
            seconds, cpu, memory = stage(name, *options, processes=processes if name == "transport" else 1)
            print(f"{run}, {name}: {seconds:,.0f} s, {cpu:,.0f} CPU s, peak {memory:,.0f} MB", flush=True)
    metrics = json.loads(record.read_text())["metrics"]
    print({key: round(value, 3) for key, value in metrics.items() if "recall_1" in key or "mrr" in key}, flush=True)


def main() -> None:
    """Write the missing features, run the unfinished stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=113_287)
    parser.add_argument("--test", type=int, default=5000, help="images, of five captions each")
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--unpaired", default="shared", choices=("shared", "disjoint"))
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--runs", nargs="+", default=["rounds=1", "rounds=6"])
    parser.add_argument("--noise", type=float, default=0.05)
    parser.add_argument("--memory", type=int, default=4000)
    parser.add_argument("--processes", type=int, default=1, help="that share the plan's rows, under torchrun")
    chosen = parser.parse_args()
    os.environ["SLURM_MEM_PER_NODE"] = str(chosen.memory)
    sides = [(split, side) for split in ("train", "test") for side in ("vision", "text")]
    file = {(split, side): chosen.folder / split / f"{side}.safetensors" for split, side in sides}
    for (split, side), path in file.items():
        if not path.is_file():
            items, each = (chosen.images, 1) if split == "train" else (chosen.test, CAPTIONS if side == "text" else 1)
            write(path, side, items, each, ("train", "test").index(split), chosen.noise, chosen.width)
    for run in chosen.runs:
        stages(
            run, chosen.folder, file, ["--pairs", str(chosen.pairs), "--unpaired", chosen.unpaired], chosen.processes
        )


if __name__ == "__main__":
    main()
