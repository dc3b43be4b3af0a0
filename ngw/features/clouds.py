"""The two training clouds of one seed and budget: rows permuted, known pairs by index, true pairs for evaluation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ngw.errors import InputError
from ngw.features.store import Features
from ngw.seeds import rng

ALL = "all"
NOUNS = {"vision": "image", "text": "caption"}  # an item of each modality


@dataclass
class Clouds:
    """x [n, d_x], y [m, d_y]: the two sides' items (images and captions, say), rows in an order of their own.

    pairs [k, 2] known, truth [t, 2] all.
    """

    x: np.ndarray
    y: np.ndarray
    pairs: np.ndarray
    truth: np.ndarray


def clouds(a: Features, b: Features, pairs: str | int, seed: int, captions: int = 1) -> Clouds:
    """Draw `captions` captions an image, permute both sides' rows, and reveal `pairs` of the true pairs.

    a, b: images and captions, or one kind of item through two encoders (two text encoders see the same draw).
    pairs: a number, or "all".  The budgets of one seed are nested: the first 30 pairs are among the first 100.
    Raises `InputError` where an item has no partner, or the budget is larger than the split.
    """
    owner = owners(a, b, "among the split's items")
    place = {image_id: row for row, image_id in enumerate(dict.fromkeys(a.image_ids.tolist()))}
    chosen = draw(np.array([place[i] for i in b.image_ids.tolist()]), len(place), captions, seed)
    kept = np.unique(owner[chosen])  # every image, or of captions those that were drawn
    stream = rng(seed, "clouds", "order")
    order_x, order_y = kept[stream.permutation(len(kept))], stream.permutation(len(chosen))
    row_of = np.empty(len(a.ids), np.int64)
    row_of[order_x] = np.arange(len(kept))
    chosen = chosen[order_y]
    truth = np.stack([row_of[owner[chosen]], np.arange(len(chosen))], axis=1)
    k = budget(pairs, len(truth))
    known = truth[rng(seed, "clouds", "pairs").permutation(len(truth))[:k]]
    return Clouds(a.x[order_x], b.x[chosen], known, truth)


def owners(a: Features, b: Features, where: str = "in the test split") -> np.ndarray:
    """Row of `a` that each row of `b` belongs to, int [m]: a caption's image, or in one modality the same item.

    Raises `InputError` where a row of `b` has no row of `a`, or the other way round; where: for its sentence.
    """
    item, other = NOUNS[a.metadata.get("modality", "vision")], NOUNS[b.metadata.get("modality", "text")]
    twins = item == other
    row_of = {name: row for row, name in enumerate(a.ids.tolist())}
    keys = (b.ids if twins else b.image_ids).tolist()
    stranger = next((name for name, key in zip(b.ids.tolist(), keys, strict=True) if key not in row_of), None)
    if stranger is not None:
        whose = "the same" if twins else "its"
        raise InputError(f"{other} {stranger}: {whose} {item} is not {where}; encode both sides from one split.")
    silent = next(iter(row_of.keys() - set(keys)), None)
    if silent is not None:
        wanted = f"the same {other} on the other side" if twins else f"a {other}"
        raise InputError(f"{item} {silent}: expected {wanted}, found none; drop the {item}, or add one.")
    return np.array([row_of[key] for key in keys])


def draw(owner: np.ndarray, n_images: int, captions: int, seed: int) -> np.ndarray:
    """`captions` caption rows of each image (all of them where it has fewer; it has one), in the images' order."""
    order = rng(seed, "clouds", "captions").permutation(len(owner))
    by_image = order[np.argsort(owner[order], kind="stable")]
    counts = np.bincount(owner, minlength=n_images)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return by_image[rank < captions]


def groups(pairs: np.ndarray) -> np.ndarray:
    """For each of the pairs [k, 2] the first pair that it hangs together with, through rows in common; int [k].

    What is held out goes by group: an image with several captions stands in several pairs, and is in one fold.
    """
    if all(len(np.unique(side)) == len(side) for side in pairs.T):
        return np.arange(len(pairs))
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, m = pairs.max(0) + 1
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], n + pairs[:, 1])), shape=(n + m, n + m))
    label = connected_components(graph, directed=False)[1][pairs[:, 0]]
    _, first, group = np.unique(label, return_index=True, return_inverse=True)
    return first[group]


def groups_of_rows(pairs: np.ndarray, n: int, side: int) -> np.ndarray:
    """The group of each of the n rows of one side (0: x, 1: y) of the pairs [k, 2]; a row without a pair is its own."""
    group = -1 - np.arange(n)
    group[pairs[:, side]] = groups(pairs)
    return group


def repeated(known: np.ndarray, held: np.ndarray) -> int:
    """How many of the rows held [m, d] equal one of the rows known [n, d], to the bit."""

    def digests(z: np.ndarray) -> list[bytes]:
        return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in z]

    seen = set(digests(known))
    return sum(digest in seen for digest in digests(held))


def budget(pairs: str | int, available: int) -> int:
    """The number of known pairs; `InputError` where there are fewer, or it is no number."""
    if pairs == ALL:
        return available
    if not str(pairs).isdecimal():
        raise InputError(f"pairs: expected a number of pairs, 0 or more, or 'all', found {pairs!r}; mend the config.")
    if int(pairs) > available:
        raise InputError(f"pairs: a budget of {pairs} is larger than the train split, {available} pairs; lower it.")
    return int(pairs)
