"""A convolution, its padding and ReLU6 as one operation of oneDNN; torch has three, the first of them slow."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Convolution(nn.Module):
    """A padding, a convolution and ReLU6 as one module, for inference on a CPU."""

    def __init__(self, padding: nn.Module | None, convolution: nn.Conv2d, relu6: bool) -> None:
        super().__init__()
        self.padding, self.convolution, self.relu6 = padding or nn.Identity(), convolution, relu6

    def forward(self, x: Tensor) -> Tensor:
        x, of = self.padding(x), self.convolution
        if not torch.backends.mkldnn.is_available():
            x = of(x)
            return nn.functional.relu6(x, inplace=True) if self.relu6 else x
        shape = (list(of.padding), list(of.stride), list(of.dilation), of.groups)
        behind = ("hardtanh", [0.0, 6.0], "") if self.relu6 else ("none", [], "")
        return torch.ops.mkldnn._convolution_pointwise(x, of.weight, of.bias, *shape, *behind)
