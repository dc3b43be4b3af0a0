"""Ranking both ways, side by side: ngw's counting, sorting, an index; time and memory against one matrix product.

    python benchmarks/ranking.py --size full --output ranking.json

Every contender runs in a process of its own with one thread, and alternates there with the matrix product, which it
needs in any case, so the ratio doesn't depend on the machine's load. Seconds are processor time, medians over repeats.
Memory is the growth of the resident set's peak over the features (from /proc, so on Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ngw.metrics.retrieval import CUTOFFS, ranks, recall_at

# Images, width, repeats; five captions an image.
SIZES = {"tiny": (40, 16, 1), "small": (1000, 384, 5), "full": (5000, 768, 3)}
CAPTIONS = 5
Ranks = tuple[np.ndarray, np.ndarray]


def problem(n: int, d: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Unit features of n images and 5 n captions, an image's captions in a row: aligned, at chance, or all equal."""
    rng = np.random.default_rng(0)
    if kind == "tied":
        return np.full((n, d), d**-0.5, np.float32), np.full((n * CAPTIONS, d), d**-0.5, np.float32)
    latent = rng.standard_normal((n, d), np.float32) * (kind == "aligned")
    u = latent + 2 * rng.standard_normal((n, d), np.float32)
    v = np.repeat(latent, CAPTIONS, 0) + 2 * rng.standard_normal((n * CAPTIONS, d), np.float32)
    v += 2.5 * rng.standard_normal((1, d), np.float32)  # the modality gap
    return tuple(x / np.linalg.norm(x, axis=1, keepdims=True) for x in (u, v))


def product(u: np.ndarray, v: np.ndarray, block: int = 250) -> None:
    """The floor: one matrix product, a block of images at a time, nothing kept."""
    scores = np.empty((block, len(v)), np.float32)
    for start in range(0, len(u), block):
        part = u[start : start + block]
        np.matmul(part, v.T, out=scores[: len(part)])


def counting(u: np.ndarray, v: np.ndarray) -> Ranks:
    """ngw.metrics.retrieval.ranks."""
    return ranks(u, v, np.repeat(np.arange(len(u)), CAPTIONS))


def row_argsort(u: np.ndarray, v: np.ndarray) -> Ranks:
    """NumPy's argsort one query at a time on the full score matrix, as VSE++ and its successors evaluate."""
    scores, owner = u @ v.T, np.repeat(np.arange(len(u)), CAPTIONS)
    i2t = [1 + np.flatnonzero(owner[np.argsort(row)[::-1]] == i)[0] for i, row in enumerate(scores)]
    t2i = [1 + np.flatnonzero(np.argsort(column)[::-1] == owner[c])[0] for c, column in enumerate(scores.T)]
    return np.array(i2t), np.array(t2i)


def numpy_argsort(u: np.ndarray, v: np.ndarray) -> Ranks:
    """NumPy's argsort of the whole matrix, along either axis."""
    scores, owner = u @ v.T, np.repeat(np.arange(len(u)), CAPTIONS)
    i2t = 1 + (owner[np.argsort(-scores, axis=1)] == np.arange(len(u))[:, None]).argmax(axis=1)
    t2i = 1 + (np.argsort(-scores, axis=0) == owner).argmax(axis=0)
    return i2t, t2i


def torch_argsort(u: np.ndarray, v: np.ndarray) -> Ranks:
    """torch.argsort of the whole matrix, along either axis."""
    import torch

    torch.set_num_threads(1)
    scores, owner = torch.from_numpy(u) @ torch.from_numpy(v).T, torch.arange(len(u)).repeat_interleave(CAPTIONS)
    i2t = 1 + (owner[scores.argsort(1, descending=True)] == torch.arange(len(u))[:, None]).int().argmax(1)
    t2i = 1 + (scores.T.contiguous().argsort(1, descending=True) == owner[:, None]).int().argmax(1)
    return i2t.numpy(), t2i.numpy()


def faiss_index(u: np.ndarray, v: np.ndarray) -> Ranks:
    """faiss IndexFlatIP, the ten nearest only: ranks beyond ten stay unknown (infinite), so no MRR and no median."""
    import faiss

    faiss.omp_set_num_threads(1)
    owner, images, found = np.repeat(np.arange(len(u)), CAPTIONS), np.arange(len(u))[:, None], []
    tasks = (u, v, lambda near: owner[near] == images), (v, u, lambda near: near == owner[:, None])
    for queries, items, match in tasks:
        index = faiss.IndexFlatIP(u.shape[1])
        index.add(items)
        hit = match(index.search(queries, max(CUTOFFS))[1])
        found.append(np.where(hit.any(axis=1), 1.0 + hit.argmax(axis=1), np.inf))
    return tuple(found)


# name: (function, kind of features)
CONTENDERS: dict[str, tuple[Callable[[np.ndarray, np.ndarray], Ranks], str]] = {
    "ngw ranks": (counting, "aligned"),
    "ngw ranks, features at chance": (counting, "chance"),
    "ngw ranks, all scores equal": (counting, "tied"),
    "faiss IndexFlatIP, top 10 only": (faiss_index, "aligned"),
    "numpy argsort, row by row": (row_argsort, "aligned"),
    "numpy argsort, whole matrix": (numpy_argsort, "aligned"),
    "torch argsort, whole matrix": (torch_argsort, "aligned"),
}


def peak_mb(reset: bool = False) -> float:
    """Largest resident set of this process in MB, since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def measure(name: str, size: str) -> dict:
    """Run in the child: time and memory of one contender, and of the matrix product in turn with it."""
    function, kind = CONTENDERS[name]
    n, d, repeats = SIZES[size]
    u, v = problem(n, d, kind)
    try:
        function(u[:20], v[: 20 * CAPTIONS])  # imports and thread pools aren't measured
    except ImportError as error:
        return {"name": name, "missing": error.name}
    before, extra = peak_mb(reset=True), []
    seconds, floor = [], []
    for _ in range(repeats):
        start = time.process_time()
        found = function(u, v)
        seconds.append(time.process_time() - start)
        extra.append(peak_mb() - before)
        start = time.process_time()
        product(u, v)
        floor.append(time.process_time() - start)
    recalls = [[recall_at(side, k) for k in CUTOFFS] for side in found]
    numbers = {"seconds": statistics.median(seconds), "floor": statistics.median(floor)}
    return {"name": name, **numbers, "extra_mb": extra[0], "recalls": recalls}


def compare(size: str) -> list[dict]:
    """Run every contender in a process of its own."""
    one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    results = []
    for name in CONTENDERS:
        command = [sys.executable, __file__, "--child", name, "--size", size]
        done = subprocess.run(command, env=os.environ | one_thread, stdout=subprocess.PIPE, text=True, check=True)
        results.append(json.loads(done.stdout))
        print(line(results[-1]), flush=True)
    return results


def line(result: dict) -> str:
    """A result as a line of the table."""
    if "missing" in result:
        return f"| {result['name']} | {result['missing']} isn't installed | | | | |"
    recall = " / ".join(f"{100 * side[0]:.2f}" for side in result["recalls"])
    times = [result["seconds"], result["floor"], result["seconds"] / result["floor"]]
    return f"| {result['name']} | {' | '.join(f'{x:.2f}' for x in times)} | {result['extra_mb']:,.0f} | {recall} |"


def disagreement(results: list[dict]) -> str:
    """The contenders whose recalls on the same features differ from the first one's by more than a query, if any."""
    same = [result for result in results if "recalls" in result and CONTENDERS[result["name"]][1] == "aligned"]
    first = np.array(same[0]["recalls"])
    return ", ".join(r["name"] for r in same if np.abs(np.array(r["recalls"]) - first).max() > 1e-3)


def main() -> None:
    """Parse, compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--output", type=Path, help="write the numbers as JSON")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments.child, arguments.size)))
        return
    n, d, _ = SIZES[arguments.size]
    print(f"{n:,} images x {n * CAPTIONS:,} captions, d = {d}, both directions, one thread\n")
    print("| method | seconds | one product | ratio | extra MB | R@1 i2t / t2i |\n|---|---:|---:|---:|---:|---:|")
    results = compare(arguments.size)
    if arguments.output:
        arguments.output.write_text(json.dumps({"size": arguments.size, "results": results}, indent=1) + "\n")
    if different := disagreement(results):
        sys.exit(f"recalls differ from the first line's: {different}")


if __name__ == "__main__":
    main()
