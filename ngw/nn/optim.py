"""Adam with a cosine schedule: torch's own update, without the optimiser class, whose first use imports a compiler."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam

from ngw.nn import distributed


class Adam:
    """Adam (Kingma and Ba 2015), its rate falling to 0 on a cosine over `steps` (Loshchilov and Hutter 2017).

    Its steps equal those of `torch.optim.Adam` and `CosineAnnealingLR`, which need 1.1 seconds to import torch._dynamo.
    decay: for each parameter the weight of |p|^2 / 2 in the objective; by default none.
    warmup: steps over which the rate also rises linearly to that cosine.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float,
        steps: int,
        decay: Iterable[float] | None = None,
        warmup: int = 0,
    ) -> None:
        self.parameters, self.learning_rate, self.steps = list(parameters), learning_rate, max(steps, 1)
        self.warmup = warmup
        self.decay = [0.0] * len(self.parameters) if decay is None else list(decay)
        self.done = 0
        self.mean, self.square = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        rise = min(1.0, (self.done + 1) / (self.warmup + 1))
        return rise * self.learning_rate * (1 + math.cos(math.pi * min(self.done, self.steps) / self.steps)) / 2

    def step(self, loss: Tensor) -> None:
        """One step down the gradient (its mean over the processes) of a loss that depends on all parameters."""
        gradients = distributed.mean(torch.autograd.grad(loss, self.parameters))
        with torch.no_grad():
            for p, gradient, mean, square, decay in zip(
                self.parameters, gradients, self.mean, self.square, self.decay, strict=True
            ):
                adam(
                    [p], [gradient], [mean], [square], [], [torch.tensor(float(self.done))], foreach=False,
                    amsgrad=False, beta1=0.9, beta2=0.999, lr=self.rate, weight_decay=decay, eps=1e-8, maximize=False,
                )  # fmt: skip
        self.done += 1
