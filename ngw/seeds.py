"""Randomness has an address: the same seed and words give the same stream, whatever ran before."""

from __future__ import annotations

import hashlib
from numbers import Integral
from typing import Any

import numpy as np

from ngw.errors import InputError


def whole(seed: Any) -> int:
    """A seed as a number; an `InputError` if it isn't a whole one."""
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise InputError(f"seed: expected a whole number, found {seed!r:.80}; mend it.")
    return int(seed)


def entropy(seed: int, *address: str | int) -> int:
    """A 128-bit seed from a run's seed and an address such as ("coco", "subset")."""
    text = "\x1f".join([str(whole(seed)), *map(str, address)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def rng(seed: int, *address: str | int) -> np.random.Generator:
    """A NumPy generator for one purpose: `rng(seed, "scenes", "pairs")`."""
    return np.random.default_rng(entropy(seed, *address))


def torch_generator(seed: int, *address: str | int):
    """A torch generator (CPU) for one purpose."""
    import torch

    return torch.Generator().manual_seed(entropy(seed, *address) % 2**63)
