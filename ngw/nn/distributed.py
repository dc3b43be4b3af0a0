"""Several processes for one training, one per GPU, or for one plan: `torchrun` starts them, each computes its part.

In a job without `torchrun`, a single process, every function here returns its argument unchanged.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, distributed

from ngw.device import device


def start() -> None:
    """Join the processes that `torchrun` has started, and take the GPU of this one."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not distributed.is_initialized():
        gpu = torch.cuda.is_available()
        if gpu:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")
        atexit.register(distributed.destroy_process_group)  # else its threads abort the process that ends first


def size() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def group() -> distributed.ProcessGroup | None:
    """The group of all processes; None if there is only one."""
    return distributed.group.WORLD if size() > 1 else None


def first() -> bool:
    """Whether this is the process that writes files."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def part(rows: np.ndarray) -> np.ndarray:
    """This process's rows of a batch: equally many for each process, so up to `size` - 1 last rows are left out."""
    each = len(rows) // size()
    place = distributed.get_rank() if distributed.is_initialized() else 0
    return rows[place * each : (place + 1) * each]


def together(z: Tensor) -> Tensor:
    """The rows of all processes, [size n, d], from [n, d] of each; gradients reach every process's own."""
    if size() == 1:
        return z
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(z.contiguous()))


def mean(gradients: Sequence[Tensor]) -> Sequence[Tensor]:
    """The mean of each gradient over the processes.

    It is the gradient of a loss over all rows that every process computes from `together`, whose backward pass sums
    the processes' gradients.
    """
    if size() > 1:
        for gradient in gradients:
            distributed.all_reduce(gradient)
            gradient /= size()
    return gradients


def agreed(value: float) -> float:
    """The first process's value, so that all decide alike."""
    if size() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device())
    distributed.broadcast(shared, 0)
    return float(shared)
