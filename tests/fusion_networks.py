"""Small fusion networks, tokens and fitted maps, for the tests of fusion."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from rotated_clouds import rotated

from ngw import fusion, methods
from ngw.fusion import Tokens

D_A, D_B, B, T, S = 6, 5, 3, 4, 5  # widths of the clouds, items, tokens a side

SMALL = {"dims": 8, "hidden": 16, "width": 7}
WARPS = [{"kind": "warp", "map": arch, "steps": 20, "hidden": 16, "rounds": 1} for arch in ("mlp", "residual")]
QUICK = {"gromov": {"clusters": 10, "starts": 1}, "structure": {"steps": 5}, "contrastive": {"steps": 5}}
OPAQUE = ("keypoints", "relative")
EXCHANGING = [
    {"kind": "cross-attention"},
    {"kind": "cross-attention", "pooled": True},
    {"kind": "cross-attention", "aligned": False},
    {"kind": "gated"},
]
SPECS = [*EXCHANGING, {"kind": "concat"}, {"kind": "image-only"}, {"kind": "question-only"}]


def name(spec):
    return "-".join(map(str, spec.values()))


every = pytest.mark.parametrize("spec", SPECS, ids=name)
exchanging = pytest.mark.parametrize("spec", EXCHANGING, ids=name)


@functools.cache
def clouds():
    """A cloud [150, 6] and five axes of its rotated, shifted copy; the first 40 rows' partners are known."""
    x, y, partner = rotated(150, D_A)
    return x, y[:, :D_B] + 3, np.stack([np.arange(40), partner[:40]], axis=1)


@functools.cache
def fitted(kind="procrustes", index=None):
    spec = {"kind": kind} | QUICK.get(kind, {}) if index is None else WARPS[index]
    return methods.build(spec).fit(*clouds())


def tokens(seed=0):
    """(z_a [3, 4, 6], mask_a, z_b [3, 5, 5], mask_b): items of 4, 2 and 1 tokens against 5, 3 and 1."""
    g = torch.Generator().manual_seed(seed)
    z_a, z_b = torch.randn(B, T, D_A, generator=g), torch.randn(B, S, D_B, generator=g) + 3
    mask_a, mask_b = torch.arange(T) < torch.tensor([[4], [2], [1]]), torch.arange(S) < torch.tensor([[5], [3], [1]])
    return z_a, mask_a, z_b, mask_b


def network(spec, seed=0, maps=None, **options):
    built = fusion.build({**spec, **SMALL, **options})
    if built.aligned and maps is None:
        maps = fusion.align(fitted())
    return built.network(Tokens(D_A), Tokens(D_B, np.full(D_B, 3.0), 2.0), maps, seed)


def full(*shape):
    return torch.ones(shape, dtype=torch.bool)


def close(a, b, tolerance=1e-5):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
