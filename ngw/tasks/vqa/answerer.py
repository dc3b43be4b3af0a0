"""Visual question answering: a fusion network and a classifier over frequent answers, trained on soft targets."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ngw import fusion, io
from ngw.device import device
from ngw.errors import InputError
from ngw.features.tokens import TokenFile
from ngw.fusion._network import linear
from ngw.methods import Method
from ngw.nn.training import Trained, train
from ngw.products import products
from ngw.seeds import rng
from ngw.tasks.vqa.labels import Labels, held_out
from ngw.tasks.vqa.options import TrainingOptions as Options
from ngw.tasks.vqa.similarity import Compared, Space

if TYPE_CHECKING:
    from scipy.sparse import csr_array

EVALUATE = 128  # questions answered at once; more don't fit in the cache
PACE = 30.0  # how much faster gates learn than other weights: each is one number, and few labels give few steps


class Batch(NamedTuple):
    """Tokens of both sides [b, t, d_a], [b, s, d_b], their masks, and targets [b, n_answers].

    If the fusion compares: images [b, e] by `ngw.tasks.vqa.similarity.Space`, and their similarity to questions [b].
    """

    z_a: Tensor
    mask_a: Tensor
    z_b: Tensor
    mask_b: Tensor
    targets: Tensor | None = None
    images: Tensor | None = None
    similarity: Tensor | None = None


class Answerer(nn.Module):
    """A fusion network and a linear classifier over the vocabulary's answers.

    texts: the answers [n_answers, e] by `Space.texts`, if and only if the fusion compares.
    """

    def __init__(
        self, network: nn.Module, answers: tuple[str, ...], seed: int, texts: np.ndarray | None = None
    ) -> None:
        super().__init__()
        self.network, self.answers = network, answers
        self.head = linear(network.spec.width, len(answers), "linear", seed, "vqa", "head")
        if network.spec.compares:
            self.comparison = Comparison(network.spec.width, needed(texts, "answers'"))

    def start_from(self, targets: np.ndarray) -> None:
        """Initialise the classifier at the log-odds of each answer's mean target [n_answers], whatever the question."""
        odds = np.clip(targets, 1e-4, 1 - 1e-4)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.copy_(torch.from_numpy(np.log(odds / (1 - odds))))

    def forward(self, batch: Batch) -> Tensor:
        """Logits [b, n_answers]."""
        h = self.network(*batch[:4])
        if not self.network.spec.compares:
            return self.head(h)
        images, similarity = needed(batch.images, "images'"), needed(batch.similarity, "questions'")
        return self.head(h) + self.comparison(h, images, similarity)

    def trained(self) -> dict[str, Tensor]:
        """The trainable parameters, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def save(self, path: str | os.PathLike, about: dict[str, str]) -> None:
        """Write the weights and their origin, but not the aligner's own file."""
        arrays = {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}
        io.write_tensors(path, arrays, {**about, "answers": json.dumps(self.answers)})


class Comparison(nn.Module):
    """What similarities in the aligner's space add to each answer's logit; 0 before training.

    The first term is the image's similarity to the answer, times a gain that is linear in h, since not every question
    asks what the image shows. The second is its similarity to the question, for or against an answer (yes, no) through
    the answer's own gate.
    """

    def __init__(self, width: int, texts: np.ndarray) -> None:
        super().__init__()
        self.gain, self.slope = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(width))
        self.gates = nn.Parameter(torch.zeros(len(texts)))
        self.register_buffer("texts", torch.from_numpy(texts))

    def forward(self, h: Tensor, images: Tensor, similarity: Tensor) -> Tensor:
        """[b, n_answers], from the fusion's h [b, width], images [b, e] and their similarity to questions [b]."""
        gain = PACE * self.gain + h @ self.slope
        return gain[:, None] * (images @ self.texts.T) + PACE * similarity[:, None] * self.gates


Given = TypeVar("Given", Tensor, np.ndarray)


def needed(part: Given | None, whose: str) -> Given:
    """A part that the fusion's comparison needs; an `InputError` if it is missing."""
    if part is None:
        raise InputError(f"similarity: expected {whose} place in the aligner's space, found none; pass a `Space`.")
    return part


class Items(Protocol):
    """The input of an answerer: batches of the questions at some places."""

    def batch(self, places: np.ndarray, device: str = "cpu", targets: np.ndarray | None = None) -> Batch:
        """The questions at some places, as tensors."""


@dataclass
class Sides:
    """Both sides' token files of one split, with the rows of some questions."""

    images: TokenFile
    questions: TokenFile
    image_rows: np.ndarray  # [n]
    question_rows: np.ndarray  # [n]
    compared: Compared | None = None

    @classmethod
    def of(
        cls, images: TokenFile, questions: TokenFile, labels: Labels, rows: np.ndarray, space: Space | None = None
    ) -> Sides:
        """The sides of the questions in some rows of the labels; a question without tokens is an `InputError`."""
        a, b = images.rows(labels.image_ids[rows]), questions.rows(labels.question_ids[rows])
        return cls(images, questions, a, b, None if space is None else Compared.of(space, images, questions, a, b))

    def batch(self, places: np.ndarray, device: str = "cpu", targets: np.ndarray | None = None) -> Batch:
        """The questions at some places, as tensors."""
        parts = [*self.images.batch(self.image_rows[places]), *self.questions.batch(self.question_rows[places])]
        compared = (None, None) if self.compared is None else self.compared.at(places)
        return Batch(
            *(None if part is None else torch.from_numpy(part).to(device) for part in (*parts, targets, *compared))
        )


def build(
    spec: dict[str, Any], images: TokenFile, questions: TokenFile, aligner: Method | None, answers: tuple[str, ...],
    seed: int, texts: np.ndarray | None = None,
) -> Answerer:  # fmt: skip
    """An untrained answerer for the tokens of these files.

    aligner: a fitted method, if the fusion has one.  texts: the answers by `Space.texts`, if it compares.
    """
    chosen = fusion.build(spec)
    maps = None if aligner is None else fusion.align(aligner, images.basis, questions.basis)
    return Answerer(chosen.network(images.tokens, questions.tokens, maps, seed), answers, seed, texts)


def load(path: str | os.PathLike, images: TokenFile, questions: TokenFile, aligner: Method | None) -> Answerer:
    """A trained answerer from the file that `Answerer.save` wrote, for token files of the same encoders and bases."""
    arrays, head = io.read_tensors(path, "a fusion network", "fusion_spec")
    spec, answers = json.loads(head["fusion_spec"]), tuple(json.loads(head["answers"]))
    model = build(spec, images, questions, aligner, answers, 0, arrays.get("comparison.texts"))
    model.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    return model.eval()


def fit(
    model: Answerer, sides: Items, labels: Labels, rows: np.ndarray, options: Options, seed: int,
    checkpoint: Path | None = None, identity: str = "",
) -> Trained:  # fmt: skip
    """Train on the labelled questions in `rows`, without those of held-out images, by Adam on the soft targets.

    The loss is binary cross-entropy summed over answers (Teney et al. 2018). The best expected accuracy on held-out
    questions chooses the weights.  sides: of these rows.
    """
    where = available(options.device)
    model.to(where)
    held = held_out(labels.image_ids[rows], options.held_out, seed)
    learned, kept = np.flatnonzero(~held), np.flatnonzero(held)
    targets = labels.targets[rows]
    model.start_from(np.asarray(targets[learned].mean(0), np.float32).ravel())
    size = min(options.batch, len(learned))

    def batch(step: int) -> Batch:
        places = learned[stream(len(learned), step * size, size, seed)]
        return sides.batch(places, where, targets[places].toarray())

    def loss(batch: Batch) -> Tensor:
        logits = model(batch)
        return nn.functional.binary_cross_entropy_with_logits(logits, batch.targets, reduction="sum") / len(logits)

    def error() -> float:
        return 1.0 - expected(model, sides, kept, targets, where)

    schedule = options.schedule(len(labels.rows("train")))
    return train(model.trained(), batch, loss, error, schedule, checkpoint, identity, label="fuse")


@lru_cache(maxsize=4)
def _order(n: int, seed: int, turn: int) -> np.ndarray:
    return rng(seed, "vqa", "order", turn).permutation(n)


def stream(n: int, start: int, count: int, seed: int) -> np.ndarray:
    """Places start, start + 1, ... of an endless series of permutations of n items, one per pass: int64 [count]."""
    passes, place = np.divmod(np.arange(start, start + count), n)
    return np.array([_order(n, seed, int(k))[p] for k, p in zip(passes, place, strict=True)], np.int64)


def answer(model: Answerer, sides: Items, places: np.ndarray, device: str = "cpu") -> np.ndarray:
    """The column of the best answer to each question at some places: int64 [len(places)]."""
    columns = []
    with torch.inference_mode(), products():
        for start in range(0, len(places), EVALUATE):
            columns.append(model(sides.batch(places[start : start + EVALUATE], device)).argmax(1).cpu().numpy())
    return np.concatenate(columns)


def expected(model: Answerer, sides: Items, places: np.ndarray, targets: csr_array, device: str = "cpu") -> float:
    """The mean target of answers drawn by softmax, over the questions at some places.  targets: [n, n_answers].

    With a dozen questions it is less noisy than the accuracy of best answers.
    """
    total = 0.0
    with torch.inference_mode(), products():
        for start in range(0, len(places), EVALUATE):
            some = places[start : start + EVALUATE]
            batch = sides.batch(some, device, targets[some].toarray())
            total += float((model(batch).softmax(1) * batch.targets).sum())
    return total / len(places)


def available(name: str) -> str:
    """An available device, by its name or `auto`."""
    if name == "auto":
        return device()
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("training: device: expected a GPU that torch can use, found none; take device: auto.")
    return name
