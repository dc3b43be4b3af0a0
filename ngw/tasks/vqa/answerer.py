"""Visual question answering: a fusion network and a classifier over frequent answers, trained on soft targets."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ngw import fusion, io
from ngw.errors import InputError
from ngw.features.tokens import TokenFile
from ngw.fusion._network import linear
from ngw.methods import Method
from ngw.nn import training
from ngw.nn.training import Trained, train
from ngw.seeds import rng
from ngw.tasks.vqa.labels import Labels, held_out
from ngw.tasks.vqa.options import TrainingOptions as Options
from ngw.tasks.vqa.similarity import similarity

EVALUATE = 128  # questions answered at once: more don't fit the cache
PACE = 30.0  # how much faster than other weights gates open: each is one number, and few labels are few steps
SAMPLE = 1024  # questions that tell the units of similarities


class Batch(NamedTuple):
    """Tokens of both sides [b, t, d_a], [b, s, d_b], their masks, targets [b, n_answers] and similarities [b]."""

    z_a: Tensor
    mask_a: Tensor
    z_b: Tensor
    mask_b: Tensor
    targets: Tensor | None = None
    similarity: Tensor | None = None


class Answerer(nn.Module):
    """A fusion network and a linear classifier over the vocabulary's answers.

    Where the fusion compares, an image's similarity to its question speaks for or against each answer, through gates
    that start closed: [n_answers], learned.
    """

    def __init__(self, network: nn.Module, answers: tuple[str, ...], seed: int) -> None:
        super().__init__()
        self.network, self.answers = network, answers
        self.head = linear(network.spec.width, len(answers), "linear", seed, "vqa", "head")
        self.comparison = Comparison(len(answers)) if network.spec.compares else None

    def start_from(self, targets: np.ndarray, similarity: Tensor | None = None) -> None:
        """The classifier's start: the log-odds of each answer's mean target [n_answers], whatever the question.

        similarity: of some training questions, whose mean and spread become the comparison's units.
        """
        odds = np.clip(targets, 1e-4, 1 - 1e-4)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.copy_(torch.from_numpy(np.log(odds / (1 - odds))))
        if self.comparison is not None:
            self.comparison.measure(required(similarity))

    def forward(self, batch: Batch) -> Tensor:
        """Logits [b, n_answers]."""
        logits = self.head(self.network(*batch[:4]))
        return logits if self.comparison is None else logits + self.comparison(required(batch.similarity))

    def trained(self) -> dict[str, Tensor]:
        """The parameters that training moves, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def save(self, path: str | os.PathLike, about: dict[str, str]) -> None:
        """Write the weights and what they were made from; the aligner's own file is not repeated."""
        arrays = {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}
        io.write_tensors(path, arrays, {**about, "answers": json.dumps(self.answers)})


class Comparison(nn.Module):
    """What an image's similarity to its question adds to each answer's logit: a gate an answer, closed at the start."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self.gates = nn.Parameter(torch.zeros(answers))
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("spread", torch.tensor(1.0))

    def measure(self, similarity: Tensor) -> None:
        """Take the units from some questions' similarities [n]."""
        self.mean.copy_(similarity.mean())
        self.spread.copy_(similarity.std(correction=0).clamp_min(1e-6))

    def forward(self, similarity: Tensor) -> Tensor:
        """[b, n_answers], of similarities [b]."""
        return ((similarity - self.mean) / self.spread)[:, None] * (PACE * self.gates)


def required(similarity: Tensor | None) -> Tensor:
    """The similarities that a fusion compares by."""
    if similarity is None:
        raise InputError("similarity: expected that of images and questions, found none; give `Sides.of` the aligner.")
    return similarity


class Items(Protocol):
    """What an answerer reads: batches of the questions at some places."""

    def batch(self, places: np.ndarray, device: str = "cpu", targets: np.ndarray | None = None) -> Batch:
        """The questions at some places, as tensors."""


@dataclass
class Sides:
    """Both sides' token files of one split, in the order of some questions."""

    images: TokenFile
    questions: TokenFile
    image_rows: np.ndarray  # [n]
    question_rows: np.ndarray  # [n]
    similarity: np.ndarray | None = None  # float32 [n], of each question's image to it, where there is an aligner

    @classmethod
    def of(
        cls, images: TokenFile, questions: TokenFile, labels: Labels, rows: np.ndarray, aligner: Method | None = None
    ) -> Sides:
        """Of the questions in some rows of the labels; one without tokens is an `InputError`."""
        a, b = images.rows(labels.image_ids[rows]), questions.rows(labels.question_ids[rows])
        return cls(images, questions, a, b, None if aligner is None else similarity(aligner, images, questions, a, b))

    def batch(self, places: np.ndarray, device: str = "cpu", targets: np.ndarray | None = None) -> Batch:
        """The questions at some places, as tensors."""
        parts = [*self.images.batch(self.image_rows[places]), *self.questions.batch(self.question_rows[places])]
        own = None if self.similarity is None else self.similarity[places]
        return Batch(*(None if part is None else torch.from_numpy(part).to(device) for part in (*parts, targets, own)))


def build(
    spec: dict[str, Any], images: TokenFile, questions: TokenFile, aligner: Method | None, answers: tuple[str, ...],
    seed: int,
) -> Answerer:  # fmt: skip
    """An untrained answerer for tokens as these files keep them.  aligner: a fitted method, if the fusion has one."""
    chosen = fusion.build(spec)
    maps = None if aligner is None else fusion.align(aligner, images.basis, questions.basis)
    return Answerer(chosen.network(images.tokens, questions.tokens, maps, seed), answers, seed)


def load(path: str | os.PathLike, images: TokenFile, questions: TokenFile, aligner: Method | None) -> Answerer:
    """A trained answerer from the file that `Answerer.save` wrote, for token files of the same encoders and bases."""
    arrays, head = io.read_tensors(path, "a fusion network", "fusion_spec")
    model = build(json.loads(head["fusion_spec"]), images, questions, aligner, tuple(json.loads(head["answers"])), 0)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    return model.eval()


def fit(
    model: Answerer, sides: Items, labels: Labels, rows: np.ndarray, options: Options, seed: int,
    checkpoint: Path | None = None, identity: str = "",
) -> Trained:  # fmt: skip
    """Train on the labelled questions in `rows`, those of held-out images aside, by Adam on the soft targets.

    The loss is binary cross-entropy summed over answers (Teney et al. 2018); the held-out questions' accuracy chooses
    the weights that are kept.  sides: of these rows.
    """
    where = device(options.device)
    model.to(where)
    held = held_out(labels.image_ids[rows], options.held_out, seed)
    learned, kept = np.flatnonzero(~held), np.flatnonzero(held)
    targets = labels.targets[rows]
    sample = learned[stream(len(learned), 0, min(SAMPLE, len(learned)), seed)]
    model.start_from(np.asarray(targets[learned].mean(0), np.float32).ravel(), sides.batch(sample, where).similarity)
    size = min(options.batch, len(learned))

    def batch(step: int) -> Batch:
        places = learned[stream(len(learned), step * size, size, seed)]
        return sides.batch(places, where, targets[places].toarray())

    def loss(batch: Batch) -> Tensor:
        logits = model(batch)
        return nn.functional.binary_cross_entropy_with_logits(logits, batch.targets, reduction="sum") / len(logits)

    def error() -> float:
        chosen = answer(model, sides, kept, where)
        return 1.0 - float(targets[kept][np.arange(len(kept)), chosen].mean())

    schedule = options.schedule(len(labels.rows("train")))
    return train(model.trained(), batch, loss, error, schedule, checkpoint, identity, label="fuse")


@lru_cache(maxsize=4)
def _order(n: int, seed: int, turn: int) -> np.ndarray:
    return rng(seed, "vqa", "order", turn).permutation(n)


def stream(n: int, start: int, count: int, seed: int) -> np.ndarray:
    """Places start, start + 1, ... of an endless series of orders of n items, each order a pass: int64 [count]."""
    passes, place = np.divmod(np.arange(start, start + count), n)
    return np.array([_order(n, seed, int(k))[p] for k, p in zip(passes, place, strict=True)], np.int64)


def answer(model: Answerer, sides: Items, places: np.ndarray, device: str = "cpu") -> np.ndarray:
    """The column of the best answer to each question at some places: int64 [len(places)]."""
    columns = []
    with torch.inference_mode():
        for start in range(0, len(places), EVALUATE):
            columns.append(model(sides.batch(places[start : start + EVALUATE], device)).argmax(1).cpu().numpy())
    return np.concatenate(columns)


def device(name: str) -> str:
    """A device that is there."""
    if name == "auto":
        return training.device()
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("training: device: expected a GPU that torch can use, found none; take device: auto.")
    return name
