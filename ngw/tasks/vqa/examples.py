"""A few questions with their pictures, answers and attention, to look at: drawn at random, not chosen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ngw import encoders
from ngw.data import Table
from ngw.features.tokens import TokenFile
from ngw.methods import Method
from ngw.seeds import rng
from ngw.tasks.vqa import answerer

COUNT = 12


def examples(
    images: TokenFile, questions: TokenFile, network: Path, aligner: Method | None, results: Mapping[str, Table],
    wording: Table, files: Table,
) -> list[dict[str, Any]]:  # fmt: skip
    """A dozen questions of different images, each the fields of a `report.vqa_figures.Example`.

    images, questions: token files of the split.  network: file of the network whose attention is shown, if it attends.
    results: columns question_id, image_id, answer, accuracy, by fusion; wording: question_id, text and
    multiple_choice_answer; files: image_id and path.
    """
    first = next(iter(results.values()))
    order = rng(0, "vqa", "examples").permutation(len(first["question_id"]))
    rows = list({first["image_id"][row]: row for row in order[::-1]}.values())[-COUNT:]  # each image's first in order
    path = dict(zip(files["image_id"], files["path"], strict=True))
    text = {i: k for k, i in enumerate(wording["question_id"])}
    answers = {name: dict(zip(t["question_id"], zip(t["answer"], t["accuracy"], strict=True), strict=True))
               for name, t in results.items()}  # fmt: skip
    encoder = encoders.build(json.loads(images.metadata["spec"]))
    ids = [(first["question_id"][row], first["image_id"][row]) for row in rows]
    looks = attention(answerer.load(network, images, questions, aligner), images, questions, ids)
    return [
        dict(
            image=encoder.view(path[image]),
            question=wording["text"][text[question]],
            truth=wording["multiple_choice_answer"][text[question]],
            answers={name: of[question] for name, of in answers.items()},
            attention=look,
        )
        for (question, image), look in zip(ids, looks, strict=True)
    ]


def attention(
    model: answerer.Answerer, images: TokenFile, questions: TokenFile, ids: list[tuple[int, int]]
) -> list[np.ndarray | None]:
    """The words' mean attention to each image token [t], for each (question, image); None without attention."""
    spec = model.network.spec
    if not spec.attends or spec.pooled:
        return [None] * len(ids)
    a, b = images.rows([image for _, image in ids]), questions.rows([question for question, _ in ids])
    batch = [torch.from_numpy(part) for part in (*images.batch(a), *questions.batch(b))]
    with torch.inference_mode():
        weights = model.network.attention(*batch)  # [b, s, t]
    return [w[mask].mean(0).numpy() for w, mask in zip(weights, batch[3], strict=True)]
