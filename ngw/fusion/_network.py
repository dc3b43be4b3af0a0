"""The weights of a fusion: one trunk for every kind, so that kinds differ only in what a side takes from the other."""

from __future__ import annotations

import math
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from ngw.errors import InputError
from ngw.features.basis import Tokens
from ngw.fusion._alignment import Affine, Maps
from ngw.seeds import torch_generator

OTHER = {"a": "b", "b": "a"}


class Mixing(Protocol):
    """The part of a fusion that its network reads: see `ngw.fusion.base.Fusion`."""

    dims: int
    hidden: int
    width: int
    sides: ClassVar[tuple[str, ...]]
    exchanges: ClassVar[bool]
    attends: ClassVar[bool]
    aligned: bool
    pooled: bool
    alpha: float
    alpha_b: float | None
    tune: str

    def attend_to(self, q: Tensor, k: Tensor, mask: Tensor) -> Tensor: ...


class Network(nn.Module):
    """h = FFN([LayerNorm(h_A); LayerNorm(h_B)]) (proposal 2.4), over tokens: LayerNorm acts on each, then their mean.

    Tokens outside a mask have no effect; a side without tokens gives 0 to the concatenation.
    """

    def __init__(self, spec: Mixing, a: Tokens, b: Tokens, maps: Maps | None, seed: int) -> None:
        super().__init__()
        self.spec, tokens = spec, {"a": a, "b": b}
        self.widths = {side: tokens[side].width for side in spec.sides}
        self.project = nn.ModuleDict({s: projection(tokens[s], spec.dims, seed, "project", s) for s in spec.sides})
        self.maps = owned(maps, spec, (a.width, b.width))
        if spec.exchanges:
            alphas = torch.tensor([spec.alpha, spec.alpha if spec.alpha_b is None else spec.alpha_b])
            self.logits = nn.Parameter(alphas.logit())
        if spec.exchanges and not spec.aligned:  # in place of T and the shared projection
            self.raw = nn.ModuleDict({s: projection(tokens[OTHER[s]], spec.dims, seed, "raw", s) for s in spec.sides})
        self.norm = nn.ModuleDict({s: nn.LayerNorm(spec.dims) for s in spec.sides})
        self.ffn = nn.Sequential(
            linear(len(spec.sides) * spec.dims, spec.hidden, "relu", seed, "ffn", "in"),
            nn.GELU(),
            linear(spec.hidden, spec.width, "linear", seed, "ffn", "out"),
        )

    def forward(self, z_a: Tensor, mask_a: Tensor, z_b: Tensor, mask_b: Tensor) -> Tensor:
        """h [b, width], from tokens z_a [b, t, d_a], z_b [b, s, d_b] and their masks [b, t], [b, s] (true: a token)."""
        mixed = self.mixed(z_a, mask_a, z_b, mask_b)
        return self.ffn(torch.cat([average(self.norm[s](h), mask) for s, (h, mask) in mixed.items()], 1))

    def mixed(self, z_a: Tensor, mask_a: Tensor, z_b: Tensor, mask_b: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """For each side h_A [b, t, d] or h_B [b, s, d], and its mask: before LayerNorm."""
        z, mask = self._checked({"a": (z_a, mask_a), "b": (z_b, mask_b)})
        if self.spec.pooled:
            z = {s: average(z[s], mask[s])[:, None] for s in z}  # [b, 1, d_s]
            mask = {s: mask[s].any(1, keepdim=True) for s in z}  # [b, 1]
        own = {s: self.project[s](z[s]) for s in z}
        if not self.spec.exchanges:
            return {s: (own[s], mask[s]) for s in z}
        h = {}
        for s, alpha in zip("ab", self.logits.sigmoid(), strict=True):
            seen = self.spec.attend_to(own[s], self.carried(s, z[OTHER[s]]), mask[OTHER[s]])
            h[s] = torch.lerp(seen.expand_as(own[s]), own[s], alpha), mask[s]  # alpha own + (1 - alpha) seen
        return h

    def carried(self, side: str, z: Tensor) -> Tensor:
        """The other side's tokens in this side's space and projected: P_A(T_BA(z_B)) [b, s, d] for side "a"."""
        if self.maps is None:
            return self.raw[side](z)
        through, project = {"a": self.maps.ba, "b": self.maps.ab}[side], self.project[side]
        if not isinstance(through, Affine):
            return project(through(z))
        # Two affine maps are composed to one of fewer features: a third of a step's time.
        bias = project.weight @ through.b + project.bias
        return nn.functional.linear(z, project.weight @ through.w.T, bias)

    def attention(self, z_a: Tensor, mask_a: Tensor, z_b: Tensor, mask_b: Tensor) -> Tensor:
        """The attention of each token of b to each token of a: softmax weights [b, s, t], 0 outside the masks."""
        if not self.spec.attends or self.spec.pooled:
            raise InputError(
                f"{type(self.spec).__name__}: expected a fusion with attention over tokens, found one without."
            )
        z, mask = self._checked({"a": (z_a, mask_a), "b": (z_b, mask_b)})
        q, k = self.project["b"](z["b"]), self.carried("b", z["a"])
        allowed = mask["b"][:, :, None] & mask["a"][:, None, :]
        scores = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~allowed, -math.inf)
        return scores.softmax(-1).nan_to_num(0)

    def alphas(self) -> dict[str, float]:
        """alpha_A and alpha_B, each side's share of its own tokens; empty if sides don't exchange anything."""
        return dict(zip("ab", self.logits.detach().sigmoid().tolist(), strict=True)) if self.spec.exchanges else {}

    def _checked(self, given: dict[str, tuple[Tensor, Tensor]]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The tokens of the fusion's sides, 0 outside the masks, and the masks."""
        given = {side: given[side] for side in self.widths}
        for side, (z, mask) in given.items():
            if z.ndim != 3 or z.shape[2] != self.widths[side]:
                raise InputError(
                    f"z_{side}: expected tokens [batch, tokens, {self.widths[side]}], found {list(z.shape)}; "
                    "pass tokens of the encoder, or in the basis, that the network was created for."
                )
            if mask.dtype != torch.bool or mask.shape != z.shape[:2]:
                raise InputError(
                    f"mask_{side}: expected bool {list(z.shape[:2])}, found {mask.dtype} {list(mask.shape)}; "
                    "pass one truth value a token, true where it counts."
                )
        kind = self.ffn[0].weight.dtype
        return (
            {s: filled(z.to(kind), mask) for s, (z, mask) in given.items()},
            {s: mask for s, (_, mask) in given.items()},
        )


def owned(maps: Maps | None, spec: Mixing, widths: tuple[int, int]) -> Maps | None:
    """The network's own copy of the maps, tuned or frozen; an `InputError` if maps are missing, or not needed."""
    name = type(spec).__name__
    if spec.aligned and maps is None:
        raise InputError(f"{name}: expected T_AB and T_BA, found none; pass maps=ngw.fusion.align(fitted method).")
    if not spec.aligned and maps is not None:
        raise InputError(f"{name}: expected no maps, since it doesn't use any, found some; leave them out.")
    if maps is not None and maps.widths != widths:
        raise InputError(
            f"{name}: expected maps between tokens of {widths[0]} and {widths[1]} features, found {maps.widths[0]} and "
            f"{maps.widths[1]}; pass `align` the bases in which the tokens are kept."
        )
    return None if maps is None else maps.tuned(spec.tune)


def filled(z: Tensor, mask: Tensor) -> Tensor:
    """Tokens z [b, t, d], 0 outside mask [b, t]; z itself where there is nothing outside, as with images."""
    return z if mask.all() else z.masked_fill(~mask[..., None], 0)


def average(z: Tensor, mask: Tensor) -> Tensor:
    """The mean [b, d] of tokens z [b, t, d] in mask [b, t]; 0 where there is none."""
    weights = mask / mask.sum(1, keepdim=True).clamp_min(1)
    return (weights.to(z.dtype)[:, None] @ z)[:, 0]


def projection(tokens: Tokens, dims: int, seed: int, *address: str) -> nn.Linear:
    """P: tokens to d coordinates of mean 0 and variance 1, angles kept (as far as d < width allows): orthogonal."""
    layer = blank(tokens.width, dims)
    gain = math.sqrt(max(dims, tokens.width)) / tokens.scale
    nn.init.orthogonal_(layer.weight, gain, generator=torch_generator(seed, "fusion", *address))
    mean = torch.zeros(tokens.width) if tokens.mean is None else torch.as_tensor(tokens.mean, dtype=torch.float32)
    with torch.no_grad():
        layer.bias.copy_(-layer.weight @ mean)
    return layer


def blank(rows: int, columns: int) -> nn.Linear:
    """A layer whose weights are set next; torch's own stream of random numbers stays as it was.

    Not `skip_init`, whose meta device imports sympy: half a second of every start.
    """
    with torch.random.fork_rng(devices=[]):
        return nn.Linear(rows, columns)


def linear(rows: int, columns: int, before: str, seed: int, *address: str) -> nn.Linear:
    """A layer [rows -> columns] with He's initialisation for the next function ("relu", "linear"), bias 0."""
    layer = blank(rows, columns)
    generator = torch_generator(seed, "fusion", *address)
    nn.init.kaiming_normal_(layer.weight, nonlinearity=before, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
