"""Weight averaging: two towers of one shape, each trained on its own modality alone, then one trunk for both.

A tower has a stem for its modality (patches, or words, with their positions) and a trunk (transformer layers, last
norm, projection). The towers come from a CLIP with random weights, so the merged model is a CLIP too; its sides share a
trunk. `align: ot` first reorders the text trunk's neurons like the image trunk's, by optimal transport between their
weights (OTFusion, Singh and Jaggi 2020): the residual stream, each layer's heads, each layer's hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ngw.device import device
from ngw.errors import InputError
from ngw.methods.weight_averaging import WeightAveraging
from ngw.nn.losses import infonce
from ngw.nn.training import Schedule, Trained, train
from ngw.seeds import rng
from ngw.tasks.joint.clip import cropped, network, padded, stored, tokenizer
from ngw.tasks.vqa.labels import held_out

SWEEPS = 10  # of the matching of neurons, at most
TEMPERATURE = 0.1  # of the cosines between views


class Views(NamedTuple):
    """Two views of b images, float32 [b, 3, s, s] each, and two of b captions, tokens [b, t] each."""

    images: tuple[Tensor, Tensor]
    texts: tuple[Tensor, Tensor]


def contrast(first: Tensor, second: Tensor) -> Tensor:
    """The loss of finding each item's second view from its first [b, w], and the reverse (NT-Xent)."""
    u, v = (nn.functional.normalize(z, dim=-1) for z in (first, second))
    return infonce(u @ v.T / TEMPERATURE)


def loss(model: nn.Module, views: Views) -> Tensor:
    """The sum of both towers' losses. They share no parameter, so neither learns anything from the other."""
    images = [_features(model.get_image_features(pixel_values=pixels)) for pixels in views.images]
    texts = [_features(model.get_text_features(input_ids=ids, attention_mask=(ids != 0).long())) for ids in views.texts]
    return contrast(*images) + contrast(*texts)


def _features(output: Any) -> Tensor:
    return getattr(output, "pooler_output", output)


def fit(
    paths: Sequence[str], texts: Sequence[str], image_ids: np.ndarray, text_ids: np.ndarray, options: WeightAveraging,
    seed: int, checkpoint: Path | None = None, identity: str = "",
) -> tuple[nn.Module, Any, Trained]:  # fmt: skip
    """Train both towers on unpaired images and captions; text_ids: each caption's image, only to hold captions out.
    Returns both towers as a CLIP, its tokenizer and the course of training."""
    words = tokenizer(texts, options.words)
    model, where = network(options, words.get_vocab_size(), seed), device()
    model.to(where)
    model.logit_scale.requires_grad_(False)
    pixels = stored(paths, options.size)
    tokens = [[t for t in row.ids if t] for row in words.encode_batch(list(texts))]
    sides = [(held_out(ids, options.held_out, seed)) for ids in (image_ids, text_ids)]
    (images, held_images), (captions, held_captions) = (
        (np.flatnonzero(~held), np.flatnonzero(held)[:256]) for held in sides
    )
    size = min(options.batch, len(images), len(captions))

    def made(rows: np.ndarray, columns: np.ndarray, draw: np.random.Generator) -> Views:
        return Views(
            tuple(cropped(pixels[rows], options.size, options.crop, draw).to(where) for _ in range(2)),
            tuple(padded([part(tokens[k], options.keep, draw) for k in columns]).to(where) for _ in range(2)),
        )

    def batch(step: int) -> Views:
        draw = rng(seed, "weight averaging", "batch", step)
        return made(draw.permutation(images)[:size], draw.permutation(captions)[:size], draw)

    def error() -> float:
        with torch.no_grad():
            return float(loss(model, made(held_images, held_captions, rng(seed, "weight averaging", "held out"))))

    every = max(1, -(-options.steps // options.looks))
    warmup = round(options.warmup * options.steps)
    schedule = Schedule(options.steps, options.learning_rate, every, options.patience, warmup=warmup)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    trained = train(
        parameters, batch, lambda views: loss(model, views), error, schedule, checkpoint, identity, label="towers"
    )
    return model.eval().cpu(), words, trained


def merged(model: nn.Module, options: WeightAveraging) -> None:
    """Replace both trunks by their mean, after a match of their neurons if the method has one."""
    if options.align == "ot":
        match(model)
    merge(model, options.weight)


def part(row: Sequence[int], keep: float, draw: np.random.Generator) -> list[int]:
    """A caption's tokens with a share `keep` of its words, drawn at random, in order, one at least; its marks stay."""
    inner = np.flatnonzero(draw.random(len(row) - 2) < keep).tolist()
    if not inner and len(row) > 2:
        inner = draw.integers(len(row) - 2, size=1).tolist()
    return [row[0], *(row[1 + k] for k in inner), row[-1]]


def trunks(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of both trunks, by the same names; an `InputError` if their shapes differ."""
    sides = []
    for tower, norm, projection in (
        (model.vision_model, model.vision_model.post_layernorm, model.visual_projection),
        (model.text_model, model.text_model.final_layer_norm, model.text_projection),
    ):
        named = dict(tower.encoder.named_parameters())
        named |= {f"norm.{k}": p for k, p in norm.named_parameters()} | {"projection.weight": projection.weight}
        sides.append(named)
    check_shapes(*sides)
    return sides[0], sides[1]


def check_shapes(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    """Check that every weight of a trunk has one of its name and shape in the other, so that they can be averaged."""
    for name in [*a, *b]:
        shapes = [tuple(side[name].shape) if name in side else None for side in (a, b)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"weight averaging: {name}: expected trunks of one shape, found {shapes[0]} and {shapes[1]}; take two "
                "transformers with as many layers, of one width, heads and hidden size (ViT-B/16 and BERT-base, say)."
            )


@torch.no_grad()
def merge(model: nn.Module, weight: float) -> None:
    """Replace both trunks by their mean, in which the text trunk has the share `weight`."""
    for a, b in zip(*(side.values() for side in trunks(model)), strict=True):
        mean = (1 - weight) * a + weight * b
        a.copy_(mean)
        b.copy_(mean)


class Neurons(NamedTuple):
    """A group of neurons in one weight: the image trunk's weight, the text trunk's, and the axis."""

    a: Tensor
    b: Tensor
    axis: int


@torch.no_grad()
def match(model: nn.Module) -> None:
    """Reorder the text trunk's neurons like the image trunk's; the text tower's function stays the same."""
    a, b = trunks(model)
    config, stem = model.config.text_config, model.text_model.embeddings
    layers, heads = range(config.num_hidden_layers), config.num_attention_heads

    def places(names: Sequence[tuple[str, int]], layer: int | None = None) -> list[Neurons]:
        full = [(name if layer is None else f"layers.{layer}.{name}", axis) for name, axis in names]
        return [Neurons(a[name], b[name], axis) for name, axis in full]

    inner = [(f"self_attn.{n}_proj.{kind}", 0) for n in "qkv" for kind in ("weight", "bias")]
    residual = [(f"self_attn.{n}_proj.weight", 1) for n in "qkv"] + [("mlp.fc1.weight", 1)]
    residual += [(f"{n}.{kind}", 0) for n in ("self_attn.out_proj", "mlp.fc2") for kind in ("weight", "bias")]
    residual += [(f"layer_norm{n}.{kind}", 0) for n in (1, 2) for kind in ("weight", "bias")]
    stream = [place for layer in layers for place in places(residual, layer)]
    stream += places([("norm.weight", 0), ("norm.bias", 0), ("projection.weight", 1)])
    for _ in range(SWEEPS):
        moved = [reorder(stream, [(p, 1) for p in (stem.token_embedding.weight, stem.position_embedding.weight)])]
        for layer in layers:
            moved.append(reorder(places([*inner, ("self_attn.out_proj.weight", 1)], layer), blocks=heads))
            moved.append(reorder(places([("mlp.fc1.weight", 0), ("mlp.fc1.bias", 0), ("mlp.fc2.weight", 1)], layer)))
        if not any(moved):
            break


def reorder(places: Sequence[Neurons], also: Sequence[tuple[Tensor, int]] = (), blocks: int | None = None) -> bool:
    """Reorder one group of the text trunk's neurons, or blocks of them, so that their weights match the other trunk's.

    The optimal plan between two groups of one size, with uniform weights, is a permutation (Birkhoff): here the one
    with the largest sum of inner products, by scipy's assignment.
    also: other tensors of the text tower that contain the group.  Returns whether any neuron moved.
    """
    from scipy.optimize import linear_sum_assignment

    size = places[0].b.shape[places[0].axis]
    n = blocks or size
    gain = sum(_rows(p.a, p.axis, n) @ _rows(p.b, p.axis, n).T for p in places).double().numpy()
    order = torch.from_numpy(linear_sum_assignment(gain, maximize=True)[1])
    each = (order[:, None] * (size // n) + torch.arange(size // n)).flatten()
    for tensor, axis in [*((p.b, p.axis) for p in places), *also]:
        tensor.copy_(tensor.index_select(axis, each))
    return bool((order != torch.arange(n)).any())


def _rows(weight: Tensor, axis: int, n: int) -> Tensor:
    """A weight as n rows, one for each neuron or block of the axis."""
    return weight.detach().movedim(axis, 0).reshape(n, -1)
