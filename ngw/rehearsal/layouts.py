"""The official files of COCO, Flickr30k, VQA v2 and CIFAR-100, and folders of classes, written from rows.

Lists go to their files entry by entry, so that full sizes need not fit in memory.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ngw import io


class Captioned(NamedTuple):
    """An image: its number, its split (`restval` is one of COCO's), its captions."""

    number: int
    split: str
    captions: Sequence[str]


class Asked(NamedTuple):
    """A question about an image, with the ten answers of VQA v2; the first is the multiple-choice answer."""

    number: int
    image: int
    text: str
    kind: str  # as the official scorer's: "what color is"
    about: str  # yes/no, number or other
    answers: Sequence[str]


def stream(file: Path, key: str, entries: Iterable[Any]) -> None:
    """{key: entries} as a JSON file."""
    with io.atomic(file) as temporary, open(temporary, "w", encoding="utf-8") as out:
        out.write(f'{{"{key}": [')
        for k, entry in enumerate(entries):
            out.write(f"{', ' if k else ''}{json.dumps(entry)}")
        out.write("]}")


def coco_image(number: int, subset: str) -> str:
    """The path of COCO's image with a number."""
    return f"{subset}/COCO_{subset}_{number:012d}.jpg"


def karpathy(file: Path, images: Iterable[Captioned], coco: bool) -> Iterator[str]:
    """Write Karpathy's split file, and return each image's path below the images' folder."""
    paths: list[str] = []

    def entries() -> Iterator[dict[str, Any]]:
        for place, (number, split, captions) in enumerate(images):
            first = 10 * place
            sentences = [{"raw": c, "sentid": first + i, "imgid": place, "tokens": []} for i, c in enumerate(captions)]
            entry: dict[str, Any] = {"imgid": place, "split": split, "sentences": sentences}
            if coco:
                subset = "train2014" if split == "train" else "val2014"
                paths.append(coco_image(number, subset))
                entry |= {"cocoid": number, "filepath": subset, "filename": Path(paths[-1]).name}
            else:
                paths.append(f"{number}.jpg")
                entry |= {"filename": paths[-1]}
            yield entry

    stream(file, "images", entries())
    return iter(paths)


def vqa(folder: Path, subset: str, asked: Sequence[Asked], answered: bool) -> None:
    """Write the question file of a subset of VQA v2, and the annotations if its answers are public."""
    questions = ({"question_id": q.number, "image_id": q.image, "question": q.text} for q in asked)
    stream(folder / f"v2_OpenEnded_mscoco_{subset}_questions.json", "questions", questions)
    if not answered:
        return
    annotations = (
        {
            "question_id": q.number, "image_id": q.image, "question_type": q.kind, "answer_type": q.about,
            "multiple_choice_answer": q.answers[0],
            "answers": [
                {"answer": answer, "answer_confidence": "yes", "answer_id": n + 1} for n, answer in enumerate(q.answers)
            ],
        }
        for q in asked
    )  # fmt: skip
    stream(folder / f"v2_mscoco_{subset}_annotations.json", "annotations", annotations)


def cifar_100(folder: Path, pixels: dict[str, np.ndarray]) -> None:
    """Write the python version of CIFAR-100.  pixels: uint8 [n, 3072] of `train` and `test`; classes take turns."""
    folder.mkdir(parents=True, exist_ok=True)
    fine, coarse = [f"class_{k}" for k in range(100)], [f"group_{k}" for k in range(20)]
    files: dict[str, dict] = {"meta": {"fine_label_names": fine, "coarse_label_names": coarse}}
    for name, rows in pixels.items():
        labels = [k % 100 for k in range(len(rows))]
        files[name] = {b"data": rows, b"fine_labels": labels, b"coarse_labels": [k // 5 for k in labels]}
    for name, content in files.items():
        with io.atomic(folder / name) as temporary:
            temporary.write_bytes(pickle.dumps(content, protocol=4))  # the reader refuses arrays of later protocols


def class_folders(names: Any) -> list[str]:
    """The folders of classes, from the `names` of their file: a mapping's keys, or a thousand like ImageNet's."""
    return list(names) if isinstance(names, dict) else [f"n{k:08d}" for k in range(len(names))]


def class_images(folders: Sequence[str], count: int) -> Iterator[str]:
    """The paths of images in folders of classes, which take turns; each folder has one at least."""
    for k in range(max(count, len(folders))):
        name = folders[k % len(folders)]
        yield f"{name}/{name}_{k:08d}.JPEG"
