"""How well an image matches a text in an aligner's space: its cosine, in units of other images' spread."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ngw import features
from ngw.errors import InputError
from ngw.features.tokens import TokenFile
from ngw.methods import Method
from ngw.seeds import rng

BATCH = 256  # items embedded at once
SAMPLE = 1024  # training images for mean and covariance


@dataclass(frozen=True)
class Space:
    """An aligner's common space, with the mean [e] and covariance [e, e] of training images in it.

    `images(...) @ texts(...).T` is an image's similarity to a text above the training images' mean, in their standard
    deviations, so a text that is similar to every image has no effect.
    """

    aligner: Method
    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, aligner: Method, images: TokenFile) -> Space:
        """The space, with mean and covariance from a sample of the training images' tokens."""
        rows = np.sort(rng(0, "vqa", "space").permutation(len(images.ids))[:SAMPLE])
        u = aligner.embed(means(images, rows), aligner.y_mean_[None])[0]
        return cls(aligner, u.mean(0), np.cov(u, rowvar=False, bias=True))

    def images(self, file: TokenFile, rows: np.ndarray) -> np.ndarray:
        """Images in some rows of a token file: float32 [n, e], around the mean."""

        def some(part: np.ndarray) -> np.ndarray:
            return self.aligner.embed(means(file, part), self.aligner.y_mean_[None])[0] - self.mean

        return in_blocks(some, rows)

    def texts(self, features: np.ndarray) -> np.ndarray:
        """Texts of pooled features [n, d]: float32 [n, e], each divided by the spread of training images along it."""
        v = self.aligner.embed(self.aligner.x_mean_[None], features)[1]
        spread = np.sqrt(np.einsum("ni,ij,nj->n", v, self.covariance, v, optimize=True).clip(1e-8))
        return (v / spread[:, None]).astype(np.float32)


@dataclass(frozen=True)
class Compared:
    """Questions and their images: each image once, u float32 [k, e] by `Space.images`; for each question its image's
    row [n] in u, and the image's similarity to the question, float32 [n]."""

    u: np.ndarray
    image: np.ndarray
    similarity: np.ndarray

    @classmethod
    def of(
        cls, space: Space, images: TokenFile, questions: TokenFile, image_rows: np.ndarray, question_rows: np.ndarray
    ) -> Compared:
        """image_rows, question_rows: [n], rows of the files."""
        shown, image = np.unique(image_rows, return_inverse=True)
        u = space.images(images, shown)

        def some(part: np.ndarray) -> np.ndarray:
            return np.einsum("ne,ne->n", u[image[part]], space.texts(means(questions, question_rows[part])))

        return cls(u, image, in_blocks(some, np.arange(len(question_rows))))

    def at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images [b, e] and similarities [b] of the questions at some places."""
        return self.u[self.image[places]], self.similarity[places]


def read_answers(path: str | os.PathLike, encoder: str, answers: tuple[str, ...]) -> np.ndarray:
    """Pooled features [n_answers, d] of a vocabulary's answers by a text encoder, from the encode-answers stage."""
    known = features.read(path, encoder)
    found = json.loads(known.metadata.get("answers", "[]"))
    if found != list(answers):
        told = f"{len(found)}, from {found[0]!r} to {found[-1]!r}" if found else "features of other items"
        raise InputError(
            f"{path}: expected the {len(answers)} answers of the labels' vocabulary, from {answers[0]!r} to "
            f"{answers[-1]!r}, found {told}; run the encode-answers stage on these labels."
        )
    return known.x


def in_blocks(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """function(rows), float32, one block of rows at a time."""
    parts = [function(rows[start : start + BATCH]).astype(np.float32) for start in range(0, len(rows), BATCH)]
    return np.concatenate(parts)


def means(file: TokenFile, rows: np.ndarray) -> np.ndarray:
    """The mean of some rows' tokens, in the form of the features on which aligners are fitted: float32 [n, d]."""
    z, mask = file.batch(rows)
    weights = (mask / mask.sum(1, keepdims=True)).astype(np.float32)
    mean = np.einsum("ntd,nt->nd", z.astype(np.float32), weights)
    return (file.basis.mean + mean @ file.basis.axes.T) / np.float32(file.basis.unit)
