"""Answers from raw pixels and words: a single-stream transformer from scratch, or the average of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ngw.fusion.joint import Joint
from ngw.fusion.weight_averaging import WeightAveraging
from ngw.nn.training import Trained
from ngw.tasks.joint.clip import network, padded, stored, tokenizer
from ngw.tasks.vqa.answerer import Answerer, Batch, Options, fit
from ngw.tasks.vqa.labels import Labels


class Stream(nn.Module):
    """The stems of a CLIP with random weights, one trunk over both sides' tokens, the mean of its outputs.

    sides: the sides that it reads: "a", the image's patches, "b", the question's words, or both.
    """

    def __init__(self, spec: Joint, vocabulary: int, seed: int) -> None:
        super().__init__()
        self.spec, self.sides = spec, ("a", "b")
        clip = network(spec.towers, vocabulary, seed)
        self.patches, self.words = clip.vision_model.embeddings, clip.text_model.embeddings
        self.trunk, self.norm = clip.vision_model.encoder, clip.vision_model.post_layernorm

    def forward(self, pixels: Tensor, mask_a: Tensor, tokens: Tensor, mask_b: Tensor) -> Tensor:
        """h [b, dims], from pixels [b, 3, s, s] and token ids [b, t]; mask_a isn't used, mask_b [b, t] marks words."""
        parts, masks = [], []
        if "a" in self.sides:
            parts.append(self.patches(pixels))
            masks.append(torch.ones(parts[0].shape[:2], dtype=torch.bool, device=pixels.device))
        if "b" in self.sides:
            parts.append(self.words(input_ids=tokens))
            masks.append(mask_b)
        x, mask = torch.cat(parts, 1), torch.cat(masks, 1)
        out = self.trunk(inputs_embeds=x, attention_mask=mask[:, None, None, :].expand(-1, 1, x.shape[1], -1))
        kept = mask[:, :, None].to(x.dtype)
        return self.norm((out.last_hidden_state * kept).sum(1) / kept.sum(1))

    def alphas(self) -> dict[str, float]:
        """No alphas: the sides mix from the first layer on."""
        return {}


@dataclass
class Raw:
    """Images and questions of some rows of the labels, in the form that `ngw.tasks.vqa.answerer.fit` reads."""

    pixels: Tensor  # uint8 [n_images, 3, s, s]
    tokens: list[list[int]]  # of each question
    image_rows: np.ndarray  # [n]

    def batch(self, places: np.ndarray, device: str = "cpu", targets: np.ndarray | None = None) -> Batch:
        """The questions at some places."""
        pixels = self.pixels[self.image_rows[places]].float() / 127.5 - 1
        tokens = padded([self.tokens[k] for k in places])
        parts = (pixels, torch.ones(len(places), 1, dtype=torch.bool), tokens, tokens != 0)
        z_a, mask_a, z_b, mask_b = (part.to(device) for part in parts)
        return Batch(z_a, mask_a, z_b, mask_b, None if targets is None else torch.from_numpy(targets).to(device))


class Reader:
    """Image files and questions of a data set, read once: a split's `Raw` is a view of them."""

    def __init__(self, spec: Joint, paths: dict[int, str], questions: dict[int, str], known: Sequence[str]) -> None:
        """paths: of images by id.  questions: by id.  known: the training questions; they make the vocabulary."""
        self.place = {i: k for k, i in enumerate(paths)}
        self.pixels = stored(list(paths.values()), spec.size, crops=False)  # no augmentation: answers name sides
        self.vocabulary = tokenizer(known, spec.words)
        encoded = self.vocabulary.encode_batch(list(questions.values()))
        self.tokens = {i: row.ids for i, row in zip(questions, encoded, strict=True)}

    def rows(self, labels: Labels, rows: np.ndarray) -> Raw:
        """The questions in some rows of the labels."""
        images = np.array([self.place[int(i)] for i in labels.image_ids[rows]], np.int64)
        return Raw(self.pixels, [self.tokens[int(i)] for i in labels.question_ids[rows]], images)


def train(
    spec: Joint, reader: Reader, labels: Labels, rows: np.ndarray, options: Options, seed: int,
    checkpoint: Path | None = None, identity: str = "",
) -> tuple[Answerer, Trained]:  # fmt: skip
    """An answerer trained on the labelled questions in `rows`, and the course of its (last) training."""
    raw, answers = reader.rows(labels, rows), labels.vocabulary.answers
    size = reader.vocabulary.get_vocab_size()

    def learned(sides: tuple[str, ...]) -> tuple[Answerer, Trained]:
        model = Answerer(Stream(spec, size, seed), answers, seed)
        model.network.sides = sides
        used = {"a": model.network.patches, "b": model.network.words}
        for side in {"a", "b"} - set(sides):
            used[side].requires_grad_(False)
        name = "".join(sides)
        path = None if checkpoint is None else checkpoint.with_name(f"{name}.{checkpoint.name}")
        return model, fit(model, raw, labels, rows, options, seed, path, f"{identity} {name}")

    if not isinstance(spec, WeightAveraging):
        return learned(("a", "b"))
    (seeing, first), (reading, second) = learned(("a",)), learned(("b",))
    merged = average(seeing, reading, spec.weight)
    second.seconds += first.seconds
    return merged, second


@torch.no_grad()
def average(seeing: Answerer, reading: Answerer, weight: float) -> Answerer:
    """The mean of trunk and classifier, a share `weight` of the second's; the first's patches, the second's words."""
    mean: dict[str, Any] = {}
    for (name, a), b in zip(seeing.state_dict().items(), reading.state_dict().values(), strict=True):
        own = a if name.startswith("network.patches.") else b if name.startswith("network.words.") else None
        mean[name] = own if own is not None else torch.lerp(a, b, weight)
    seeing.load_state_dict(mean)
    seeing.network.sides = ("a", "b")
    return seeing
