"""The device on which encoders, plans and networks compute."""

from __future__ import annotations


def device() -> str:
    """A GPU if torch finds one (under torchrun each process its own), else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
