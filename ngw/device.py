"""How torch computes for encoders, plans and networks: its device, and its gradients."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


def device() -> str:
    """A GPU if torch finds one (under torchrun each process its own), else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def gradients() -> Iterator[None]:
    """Let torch compute gradients, also where the caller has switched them off (torch.no_grad, inference_mode)."""
    torch = sys.modules.get("torch")
    if torch is None:  # and a method that doesn't need it won't import it
        yield
        return
    with torch.inference_mode(False), torch.enable_grad():
        yield
