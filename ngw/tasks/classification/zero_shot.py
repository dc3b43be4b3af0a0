"""Classification of images by prompts alone: the class with the nearest mean prompt."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from ngw.errors import InputError
from ngw.features import Features
from ngw.metrics.classification import classify, summary
from ngw.tasks.retrieval import Embeds


@dataclass
class Result:
    """For each image its id, true class, prediction and the true class's rank; the metrics; the classes' names."""

    table: dict[str, np.ndarray]
    metrics: dict[str, float]
    names: list[str]


def unit_means(v: np.ndarray, n_classes: int) -> np.ndarray:
    """The normalised mean of each class's embedded prompts: [n_classes * n_templates, e] -> [n_classes, e]."""
    means = v.reshape(n_classes, -1, v.shape[1]).mean(1)
    return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)


def evaluate(method: Embeds, images: Features, classes: Features, labels: dict[int, int]) -> Result:
    """Classify a test split.  classes: prompts by the encode-classes stage; labels: {image id: class}.

    Raises `InputError` if an image has no label, a label is beyond the classes, or a class has no image.
    """
    names = json.loads(classes.metadata["classes"])
    truth = labels_of(images, labels, len(names))
    u, v = method.embed(images.x, classes.x)
    return result(images, names, truth, u, unit_means(v, len(names)))


def result(images: Features, names: list[str], truth: np.ndarray, u: np.ndarray, classes: np.ndarray) -> Result:
    """The result from images u [n, e] and classes [k, e] whose products are scores."""
    missing = np.flatnonzero(np.bincount(truth, minlength=len(names)) == 0)
    if missing.size:
        raise InputError(
            f"class {names[missing[0]]!r:.80}: expected a test image or more, found none; make the tables again."
        )
    rank, predicted = classify(u, classes, truth)
    table = {"image_id": images.ids, "label": truth, "predicted": predicted, "rank": rank}
    return Result(table, summary(rank, truth), names)


def labels_of(images: Features, labels: dict[int, int], n_classes: int) -> np.ndarray:
    """The class of each image, int64 [n]."""
    missing = [i for i in images.ids.tolist() if i not in labels]
    if missing:
        raise InputError(f"image {missing[0]}: expected a label, found none; encode the images of these tables.")
    truth = np.array([labels[i] for i in images.ids.tolist()], np.int64)
    beyond = truth[(truth < 0) | (truth >= n_classes)]
    if beyond.size:
        raise InputError(f"expected labels from 0 to {n_classes - 1}, found {beyond[0]}; encode these tables' classes.")
    return truth
