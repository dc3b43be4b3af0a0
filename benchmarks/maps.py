"""The cost of each term of the maps' objective: one training step with the term, against the plain step, one thread.

    python benchmarks/maps.py --size full --output maps.json

A step is the product's own: `ngw.maps.fit.Data.loss` on one batch of either cloud, its gradient, Adam's update of both
maps. Only the exact Jacobian, which training never uses, is added here. The variants alternate within a repeat, so that
the ratio to the plain step doesn't depend on the machine's load. Seconds are processor time, medians over the repeats.
"""

from __future__ import annotations

import os

os.environ |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}  # before any of them is loaded

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ngw.maps import networks, objective
from ngw.maps.fit import Data, Targets
from ngw.maps.objective import Weights
from ngw.nn.optim import Adam

# Width of both clouds, hidden width, batch, repeats, and rows of the exact Jacobian (its time is scaled to a batch).
SIZES = {"tiny": (16, 32, 32, 1, 2), "small": (384, 512, 256, 15, 4), "full": (384, 1024, 1024, 15, 8)}
ROWS, PAIRS = 4096, 1024
OFF = Weights(cycle=0, injectivity=0, smoothness=0, paired=0)
VARIANTS = {
    "plain: L_AB + L_BA": OFF,
    "+ cycle": Weights(cycle=0.1, injectivity=0, smoothness=0, paired=0),
    "+ injectivity, sampled pairs": Weights(cycle=0, injectivity=0.01, smoothness=0, paired=0),
    "+ smoothness, Hutchinson": Weights(cycle=0, injectivity=0, smoothness=1e-3, paired=0),
    "+ paired": Weights(cycle=0, injectivity=0, smoothness=0, paired=0.1),
    "all, as trained": Weights(cycle=0.1, injectivity=0.01, smoothness=1e-3, paired=0.1),
}
EXACT = "+ smoothness, exact Jacobian"
GOALS = {"+ smoothness, Hutchinson": 2.0, "+ injectivity, sampled pairs": 1.3}


def problem(d: int) -> Data:
    """Two unrelated clouds and their targets: a step's cost doesn't depend on the values."""
    stream = np.random.default_rng(0)
    x, y, to_y, to_x = (stream.standard_normal((ROWS, d), np.float32) / np.float32(d**0.5) for _ in range(4))
    nothing = np.zeros(ROWS, bool)
    pairs = np.stack([np.arange(PAIRS)] * 2, axis=1)
    return Data(Targets(x, y, to_y, to_x, pairs), nothing, nothing, nothing[:PAIRS])


def parameters(arch: str, d: int, hidden: int) -> dict[str, torch.Tensor]:
    """A map at the start of training."""
    p = networks.init(arch, d, d, hidden, np.random.default_rng(1))
    return {name: torch.tensor(value, requires_grad=True) for name, value in p.items()}


def seconds(call: Callable[[], None]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def compare(size: str, arch: str) -> dict[str, float]:
    """Median seconds of a step, by variant; the exact Jacobian's time is measured on `rows` and scaled to a batch."""
    d, hidden, batch, repeats, rows = SIZES[size]
    data, ab, ba = problem(d), parameters(arch, d, hidden), parameters(arch, d, hidden)
    optimiser = Adam([*ab.values(), *ba.values()], learning_rate=1e-5, steps=10**6)  # a constant rate, nearly
    generator = torch.Generator().manual_seed(0)

    def loss(weights: Weights) -> torch.Tensor:
        smoothness = [weights.smoothness, weights.smoothness]
        return data.loss(ab, ba, weights, smoothness, [0.5, 0.5], batch, generator)

    def step(weights: Weights) -> None:
        optimiser.step(loss(weights))

    def exact() -> torch.Tensor:
        maps = ((ab, data.x), (ba, data.y))
        return sum(objective.smoothness_exact(partial(networks.apply, p), z[:rows]) for p, z in maps)

    steps = {name: partial(step, weights) for name, weights in VARIANTS.items()}
    times = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name, call in steps.items():
            taken = seconds(call)
            if repeat:  # the first one warms up
                times[name].append(taken)
    medians = {name: statistics.median(values) for name, values in times.items()}
    jacobian = min(seconds(lambda: exact().backward()) for _ in range(2))
    return medians | {EXACT: next(iter(medians.values())) + jacobian * batch / rows}


def table(times: dict[str, float]) -> str:
    """The times as markdown, each against the plain step, with its goal if there is one."""
    plain = next(iter(times.values()))
    lines = ["| step | ms | times plain | goal |", "|---|---:|---:|---:|"]
    for name, value in times.items():
        goal = f"<= {GOALS[name]:g}" if name in GOALS else ""
        lines.append(f"| {name} | {1000 * value:,.1f} | {value / plain:.2f} | {goal} |")
    return "\n".join(lines)


def main() -> None:
    """Parse, compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--map", choices=networks.ARCHITECTURES, nargs="*", default=["mlp", "residual"])
    parser.add_argument("--output", type=Path, help="write the numbers as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    d, hidden, batch, *_ = SIZES[arguments.size]
    results = {}
    for arch in arguments.map:
        results[arch] = compare(arguments.size, arch)
        width = "" if arch == "linear" else f", hidden {hidden}"
        print(f"{arch}, d = {d}{width}, batch {batch}, one thread\n\n{table(results[arch])}\n", flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps({"size": arguments.size, "seconds": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
