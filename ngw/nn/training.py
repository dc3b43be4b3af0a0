"""The trainer of networks: batches read ahead, evaluations on held-out data, checkpoints, early stopping.

A batch, with all its randomness, is a function of its step's number. So a run resumed from a checkpoint equals an
unbroken one, to the last bit on one machine and number of threads.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ngw import io
from ngw.device import device
from ngw.errors import InputError
from ngw.io.atomic import remove_leftovers
from ngw.nn import distributed
from ngw.nn.optim import Adam
from ngw.products import products

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Schedule:
    """Length and speed: Adam with its rate on a cosine to 0 over `steps`; an evaluation every `every` steps.

    patience: evaluations without a better held-out loss, after which training stops; the best weights are kept.
    average: decay of a moving average of the weights, which is then evaluated and kept; 0: the weights themselves. The
    decay starts small, min(average, (1 + step) / (10 + step)), so that the random weights are soon forgotten.
    warmup: steps over which the rate rises from 0.
    precision: float32, or bfloat16 for mixed precision: weights and their updates stay in float32 (Micikevicius et al.,
    ICLR 2018; bfloat16 needs no scaling of the loss).
    """

    steps: int
    learning_rate: float
    every: int
    patience: int
    average: float = 0.0
    warmup: int = 0
    precision: str = "float32"

    def autocast(self) -> torch.autocast:
        """The context in which losses are computed."""
        mixed = self.precision != "float32"
        return torch.autocast(device(), getattr(torch, self.precision) if mixed else None, enabled=mixed)


@dataclass
class Trained:
    """The course of a training. curve: step, train (loss of that step's batch) and held_out, a value an evaluation."""

    curve: dict[str, list[Any]] = field(default_factory=lambda: {"step": [], "train": [], "held_out": []})
    step: int = 0  # the step whose weights are kept
    stopped: bool = False  # by patience, before the last step
    seconds: float = 0.0  # of training, over all resumed parts
    waiting: float = 0.0  # seconds of these spent waiting for the next batch

    def record(self) -> dict[str, Any]:
        """The training's entries in a run's record."""
        share = self.waiting / self.seconds if self.seconds else 0.0
        steps = self.curve["step"][-1]
        return {"steps": steps, "step": self.step, "stopped": self.stopped, "waiting": share, "curve": self.curve}


class Prefetcher(Generic[Batch]):
    """Batches one step ahead of their use, read by one thread; `take_waited` gives the time their user waited."""

    def __init__(self, batch: Callable[[int], Batch], start: int, stop: int) -> None:
        self.batch, self.stop, self.waited = batch, stop, 0.0
        self.pool = ThreadPoolExecutor(1)
        self.next: Future[Batch] | None = self.pool.submit(batch, start) if start < stop else None

    def take(self, step: int) -> Batch:
        """The batch of a step; steps are taken in order, each once."""
        start = time.perf_counter()
        assert self.next is not None, "no step is left"
        data = self.next.result()
        self.waited += time.perf_counter() - start
        self.next = self.pool.submit(self.batch, step + 1) if step + 1 < self.stop else None
        return data

    def take_waited(self) -> float:
        """The seconds waited since the last call."""
        waited, self.waited = self.waited, 0.0
        return waited

    def close(self) -> None:
        """Stop the thread."""
        self.pool.shutdown(wait=True, cancel_futures=True)


def train(
    parameters: Mapping[str, Tensor],
    batch: Callable[[int], Batch],
    loss: Callable[[Batch], Tensor],
    held_out: Callable[[], float],
    schedule: Schedule,
    checkpoint: Path | None = None,
    identity: str = "",
    label: str = "train",
) -> Trained:
    """Minimise `loss(batch(step))` over the parameters, which end at the weights that were best on held-out data.

    Args:
        parameters: by name; a parameter that some batch's gradient doesn't reach is an error, as in
            `torch.autograd.grad`.
        batch: step -> data, read in a thread while the step before is computed.
        held_out: the loss on held-out data with the current parameters.
        checkpoint: a file written at every evaluation and removed at the end; if it exists, training resumes from it.
        identity: of the run's data and options; a checkpoint of another identity is not resumed.
        label: of the progress bar; empty: no bar.

    Raises:
        InputError: a loss that isn't finite.
    """
    parameters = dict(parameters)
    optimiser = Adam(parameters.values(), schedule.learning_rate, schedule.steps, warmup=schedule.warmup)
    if checkpoint is not None and distributed.first():
        remove_leftovers(checkpoint)
    run = _Run(parameters, optimiser, Trained(), copy(parameters), copy(parameters) if schedule.average else parameters)
    if checkpoint is not None and checkpoint.is_file():
        run.read(checkpoint, identity)
    batches = Prefetcher(batch, optimiser.done, schedule.steps)
    before, last = run.trained.seconds, float("nan")
    start = time.perf_counter()
    try:
        with products(), _bar(schedule.steps, optimiser.done, label) as bar:
            while True:
                step = optimiser.done
                due = step % schedule.every == 0 or step == schedule.steps
                looking = due and step not in run.trained.curve["step"]  # a resumed run has evaluated already
                if looking and run.look(last, distributed.agreed(run.at_average(held_out)), schedule):
                    run.trained.stopped = step < schedule.steps
                run.trained.seconds = before + time.perf_counter() - start
                run.trained.waiting += batches.take_waited()
                if run.trained.stopped or step == schedule.steps:
                    break
                if looking and checkpoint is not None and distributed.first():
                    run.write(checkpoint, identity)
                last = run.descend(loss, batches.take(step), schedule)
                if not math.isfinite(last):
                    raise InputError(
                        f"{label}: step {step}: expected a finite loss, found {last}; lower learning_rate."
                    )
                bar.update()
    finally:
        batches.close()
    run.set(run.best)
    if checkpoint is not None and distributed.first():
        checkpoint.unlink(missing_ok=True)
    return run.trained


def _bar(steps: int, done: int, label: str) -> tqdm:
    """The progress bar of the process that writes; none without a label."""
    quiet = not (label and distributed.first())
    return tqdm(total=steps, initial=done, desc=label, unit="step", mininterval=1, disable=quiet)


def copy(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy of the parameters' values."""
    return {name: p.detach().clone() for name, p in parameters.items()}


@dataclass
class _Run:
    """The state in a checkpoint. average: the moving average, or the parameters themselves."""

    parameters: dict[str, Tensor]
    optimiser: Adam
    trained: Trained
    best: dict[str, Tensor]
    average: dict[str, Tensor]

    def descend(self, loss: Callable[[Batch], Tensor], batch: Batch, schedule: Schedule) -> float:
        """One step of the weights and of their average; the batch's loss before it."""
        with schedule.autocast():
            value = loss(batch)
        self.optimiser.step(value)
        self.move_average(schedule.average)
        return float(value.detach())

    def move_average(self, decay: float) -> None:
        """One step of the moving average, if there is one."""
        if self.average is not self.parameters:
            weight = 1 - min(decay, self.optimiser.done / (9 + self.optimiser.done))
            torch._foreach_lerp_(list(self.average.values()), [p.detach() for p in self.parameters.values()], weight)

    def at_average(self, held_out: Callable[[], float]) -> float:
        """The held-out loss with the averaged weights."""
        if self.average is self.parameters:
            return held_out()
        now = copy(self.parameters)
        self.set(self.average)
        try:
            return held_out()
        finally:
            self.set(now)

    def set(self, values: Mapping[str, Tensor]) -> None:
        """Set the parameters to other values."""
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(values[name])

    def look(self, train: float, held_out: float, schedule: Schedule) -> bool:
        """Note an evaluation, keep the weights if they are the best so far, and return whether patience has run out."""
        curve = self.trained.curve
        if not math.isfinite(held_out):
            raise InputError(
                f"step {self.optimiser.done}: expected a finite held-out loss, found {held_out}; lower learning_rate."
            )
        if not curve["held_out"] or held_out < min(curve["held_out"]):
            self.trained.step = self.optimiser.done
            self.best = copy(self.average)
        for name, value in (("step", self.optimiser.done), ("train", train), ("held_out", held_out)):
            curve[name].append(None if value != value else value)
        best = curve["step"].index(self.trained.step)
        return len(curve["step"]) - 1 - best >= schedule.patience

    def write(self, path: Path, identity: str) -> None:
        """Write the state atomically."""
        moments = zip(self.parameters, self.optimiser.mean, self.optimiser.square, strict=True)
        arrays: dict[str, np.ndarray] = {}
        for name, mean, square in moments:
            parts = {"now": self.parameters[name], "best": self.best[name], "mean": mean, "square": square}
            parts |= {"average": self.average[name]} if self.average is not self.parameters else {}
            arrays |= {f"{part} {name}": value.detach().cpu().numpy() for part, value in parts.items()}
        state = {"done": self.optimiser.done, "trained": vars(self.trained)}
        io.write_tensors(path, arrays, {"identity": identity, "state": json.dumps(state)})

    def read(self, path: Path, identity: str) -> None:
        """Resume from the state that `write` wrote, if it is of this identity."""
        arrays, head = io.read_tensors(path, "a checkpoint", "state")
        if head["identity"] != identity:
            print(f"{path}: a checkpoint of other data or options; starting anew.")
            return
        state = json.loads(head["state"])
        with torch.no_grad():
            for k, (name, p) in enumerate(self.parameters.items()):
                for part, target in (
                    ("now", p), ("best", self.best[name]),
                    ("mean", self.optimiser.mean[k]), ("square", self.optimiser.square[k]),
                ):  # fmt: skip
                    target.copy_(torch.from_numpy(arrays[f"{part} {name}"]))
                if self.average is not self.parameters:
                    self.average[name].copy_(torch.from_numpy(arrays[f"average {name}"]))
        self.optimiser.done, self.trained = state["done"], Trained(**state["trained"])
        print(f"{path}: going on from step {self.optimiser.done}.")
