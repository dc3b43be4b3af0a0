"""A GPU for tests that have none: tensors that say "cuda", compute on the CPU, and meet no tensor of the host.

It refuses what a real GPU refuses: NumPy's view of a tensor, and an operation between two devices.  It can't show the
speed and the rounding of a GPU's kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

COPIES = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default}  # go from one device to the other
FETCHES = {torch.Tensor.__float__, torch.Tensor.__bool__, torch.Tensor.__int__, torch.Tensor.item}
HOST, DEVICE = torch.device("cpu"), torch.device("cuda", 0)


class OnGpu(torch.Tensor):
    """A tensor of the pretended GPU; `held` has its numbers."""

    @staticmethod
    def __new__(cls, held: torch.Tensor):
        how = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, held.shape, device="meta", **how)

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    @property
    def device(self) -> torch.device:
        return DEVICE

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


class Pretence(TorchDispatchMode):
    """Under it `device="cuda"` makes such tensors."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


class Borders(TorchFunctionMode):
    """What a `Pretence` does not see: `torch.tensor` makes its numbers on the host, `float` fetches one from a GPU."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        args, kwargs = tree_map(lambda z: DEVICE if isinstance(z, str) and z == "cuda" else z, (args, kwargs or {}))
        if function in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") != HOST:
            return function(*args, **kwargs | {"device": HOST}).to(DEVICE)
        if function in FETCHES and isinstance(args[0], OnGpu):
            return function(args[0].held)
        return function(*args, **kwargs)


def compute(operation, args, kwargs):
    """The operation on what the tensors hold; its results stand where its operands do."""
    wrappers: dict[int, OnGpu] = {}
    host = []

    def unwrap(value):
        if isinstance(value, OnGpu):
            wrappers[id(value.held)] = value
            return value.held
        if isinstance(value, torch.Tensor) and value.ndim:  # a number may meet a tensor of any device
            host.append(value)
        return value

    def wrap(value):
        if not isinstance(value, torch.Tensor):
            return value
        return wrappers[id(value)] if id(value) in wrappers else OnGpu(value)

    target = kwargs.get("device")
    args, kwargs = tree_map(unwrap, (args, {**kwargs, **({"device": "cpu"} if target is not None else {})}))
    assert not (wrappers and host) or operation in COPIES, f"{operation}: operands on two devices"
    out = operation(*args, **kwargs)
    stays = bool(wrappers) if target is None else torch.device(target).type == "cuda"
    if operation is torch.ops.aten.copy_.default:
        stays = id(out) in wrappers
    return tree_map(wrap, out) if stays else out


@contextmanager
def pretended_gpu(monkeypatch, free: int = 1 << 30) -> Iterator[torch.device]:
    """The device; free: bytes that it says are free."""
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (free, free))
    with Borders(), Pretence():
        yield DEVICE
