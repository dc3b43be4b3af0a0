"""The two training clouds of one seed and budget: rows permuted, known pairs by index, true pairs for evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.errors import InputError
from ngw.features import Features
from ngw.seeds import rng

ALL = "all"


@dataclass
class Clouds:
    """x [n, d_x] images, y [m, d_y] captions, rows in an order of their own; pairs [k, 2] known, truth [t, 2] all."""

    x: np.ndarray
    y: np.ndarray
    pairs: np.ndarray
    truth: np.ndarray


def clouds(vision: Features, text: Features, pairs: str | int, seed: int, captions: int = 1) -> Clouds:
    """Draw `captions` captions an image, permute both sides' rows, and reveal `pairs` of the true pairs.

    pairs: a number, or "all".  The budgets of one seed are nested: the first 30 pairs are among the first 100.
    Raises `InputError` where an image has no caption, a caption no image, or the budget is larger than the split.
    """
    row_of = {image_id: row for row, image_id in enumerate(vision.ids.tolist())}
    stranger = next((c for c, i in zip(text.ids, text.image_ids, strict=True) if int(i) not in row_of), None)
    if stranger is not None:
        raise InputError(f"caption {stranger}: its image is not among the split's images; encode both from one split.")
    silent = next(iter(row_of.keys() - set(text.image_ids.tolist())), None)
    if silent is not None:
        raise InputError(f"image {silent}: expected a caption, found none; drop the image, or add one.")
    owner = np.array([row_of[i] for i in text.image_ids.tolist()])
    chosen = draw(owner, len(vision.ids), captions, seed)
    stream = rng(seed, "clouds", "order")
    order_x, order_y = stream.permutation(len(vision.ids)), stream.permutation(len(chosen))
    place_x = np.argsort(order_x)
    chosen = chosen[order_y]
    truth = np.stack([place_x[owner[chosen]], np.arange(len(chosen))], axis=1)
    k = budget(pairs, len(truth))
    known = truth[rng(seed, "clouds", "pairs").permutation(len(truth))[:k]]
    return Clouds(vision.x[order_x], text.x[chosen], known, truth)


def draw(owner: np.ndarray, n_images: int, captions: int, seed: int) -> np.ndarray:
    """`captions` caption rows of each image (all of them where it has fewer; it has one), in the images' order."""
    order = rng(seed, "clouds", "captions").permutation(len(owner))
    by_image = order[np.argsort(owner[order], kind="stable")]
    counts = np.bincount(owner, minlength=n_images)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return by_image[rank < captions]


def budget(pairs: str | int, available: int) -> int:
    """The number of known pairs; `InputError` where there are fewer, or it is no number."""
    if pairs == ALL:
        return available
    if not str(pairs).isdecimal():
        raise InputError(f"pairs: expected a number of pairs, 0 or more, or 'all', found {pairs!r}; mend the config.")
    if int(pairs) > available:
        raise InputError(f"pairs: a budget of {pairs} is larger than the train split, {available} pairs; lower it.")
    return int(pairs)
