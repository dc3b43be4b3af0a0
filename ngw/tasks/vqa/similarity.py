"""How well an image matches a question: the cosine of their tokens' means in the space where an aligner compares."""

from __future__ import annotations

import numpy as np

from ngw.features.tokens import TokenFile
from ngw.methods import Method

BATCH = 256  # items read at once


def similarity(
    aligner: Method, images: TokenFile, questions: TokenFile, image_rows: np.ndarray, question_rows: np.ndarray
) -> np.ndarray:
    """Of each question's image to it, float32 [n]; every image and question is embedded once.

    image_rows, question_rows: [n], places in the files.
    """
    (some, of_image), (asked, of_question) = (
        np.unique(rows, return_inverse=True) for rows in (image_rows, question_rows)
    )
    u, v = aligner.embed(means(images, some), means(questions, asked))  # unit rows
    return np.einsum("nd,nd->n", u[of_image], v[of_question]).astype(np.float32)


def means(file: TokenFile, rows: np.ndarray) -> np.ndarray:
    """The mean of the tokens of some rows as the features that aligners are fitted on: float32 [n, d]."""
    basis, parts = file.basis, []
    for start in range(0, len(rows), BATCH):
        z, mask = file.batch(rows[start : start + BATCH])
        weights = mask / mask.sum(1, keepdims=True)
        parts.append(np.einsum("ntd,nt->nd", z.astype(np.float32), weights.astype(np.float32)))
    return (basis.mean + np.concatenate(parts) @ basis.axes.T) / np.float32(basis.unit)
