"""The two training clouds of one seed, budget and setting: rows permuted, known and true pairs by index."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ngw.errors import InputError
from ngw.features.store import Features
from ngw.seeds import rng

ALL = "all"
SHARED, DISJOINT, FOREIGN, NONE = "shared", "disjoint", "foreign", "none"
SETTINGS = {  # whether partners of the rows that are in no known pair are in the other cloud
    SHARED: "the partners of unpaired rows are in the other cloud, in unknown order",
    DISJOINT: "no unpaired row has its partner in the other cloud",
    FOREIGN: "as disjoint, and the unpaired captions are another data set's",
    NONE: "no row is unpaired",
}
NOUNS = {"vision": "image", "text": "caption"}  # an item of each modality


@dataclass
class Clouds:
    """x [n, d_x], y [m, d_y]: the two sides' items (images and captions, say), rows in an order of their own.

    pairs [k, 2] known, ids [k] of their items of y; truth [t, 2] all pairs that are in the clouds.
    """

    x: np.ndarray
    y: np.ndarray
    pairs: np.ndarray
    truth: np.ndarray
    ids: np.ndarray


def clouds(
    a: Features, b: Features, pairs: str | int, seed: int, captions: int = 1, unpaired: str = SHARED,
    foreign: np.ndarray | None = None,
) -> Clouds:  # fmt: skip
    """Draw `captions` captions an image, permute both sides' rows, and reveal `pairs` of the true pairs.

    a, b: images and captions, or one kind of item through two encoders (two text encoders see the same draw).
    pairs: a number, or "all".  The budgets of one seed are nested: the first 30 pairs are among the first 100.
    unpaired: one of `SETTINGS`; the known pairs are the same in each.
    foreign: [f, d_y], rows of another data set through b's encoder, in the setting "foreign" only.
    Raises `InputError` if an item has no partner, or the budget is larger than the split.
    """
    owner = owners(a, b, "among the split's items")
    place = {image_id: row for row, image_id in enumerate(dict.fromkeys(a.image_ids.tolist()))}
    chosen = draw(np.array([place[i] for i in b.image_ids.tolist()]), len(place), captions, seed)
    kept = np.unique(owner[chosen])  # every image, or the drawn captions
    stream = rng(seed, "clouds", "order")
    order_x, order_y = kept[stream.permutation(len(kept))], stream.permutation(len(chosen))
    row_of = np.empty(len(a.ids), np.int64)
    row_of[order_x] = np.arange(len(kept))
    chosen = chosen[order_y]
    truth = np.stack([row_of[owner[chosen]], np.arange(len(chosen))], axis=1)
    k = budget(pairs, len(truth), unpaired)
    if (unpaired == FOREIGN) != (foreign is not None):
        wanted, found = ("rows", "none") if foreign is None else ("none", f"{len(foreign)} rows")
        raise InputError(
            f"foreign: expected {wanted} of another data set, since unpaired is {unpaired}, found {found}; mend either."
        )
    revealed = truth[rng(seed, "clouds", "pairs").permutation(len(truth))]
    ids = b.ids[chosen[revealed[:k, 1]]]
    if unpaired not in (DISJOINT, FOREIGN):
        return Clouds(a.x[order_x], b.x[chosen], revealed[:k], truth, ids)
    image_x, image_y = a.image_ids[order_x], b.image_ids[chosen]
    x, y = apart(image_x, revealed, k)
    known = np.stack([np.searchsorted(rows, side) for rows, side in zip((x, y), revealed[:k].T, strict=True)], axis=1)
    if left := partners(image_x[x], image_y[y], known):
        raise RuntimeError(f"clouds: expected no unpaired row with its partner on the other side, found {left}.")
    two = Clouds(a.x[order_x[x]], b.x[chosen[y]], known, known, ids)
    return two if foreign is None else abroad(two, foreign, seed)


def abroad(two: Clouds, foreign: np.ndarray, seed: int) -> Clouds:
    """Clouds whose unpaired rows of y are replaced by foreign rows [f, d_y], drawn by the seed; fewer if f is smaller.

    The foreign rows of a larger budget, which replaces fewer, are among those of a smaller one.
    """
    free = np.setdiff1d(np.arange(len(two.y)), two.pairs[:, 1])
    drawn = foreign[rng(seed, "clouds", "foreign").permutation(len(foreign))[: len(free)]]
    y = two.y.copy()
    y[free[: len(drawn)]] = drawn
    kept = np.setdiff1d(np.arange(len(y)), free[len(drawn) :])
    known = np.stack([two.pairs[:, 0], np.searchsorted(kept, two.pairs[:, 1])], axis=1)
    return Clouds(two.x, y[kept], known, known, two.ids)


def apart(image_x: np.ndarray, revealed: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of both sides, ascending, that stay if the first k of all pairs [t, 2] are known and the others split.

    Of the images without a known pair every second one stays in x, and the captions of the others stay in y.  Sides are
    assigned from the end of the order in which pairs are revealed: halves are equal at every budget, and an image keeps
    its side until its pair is known.  Further captions of a known image are left out, since their image is in x.
    """
    _, image = np.unique(image_x, return_inverse=True)
    of_y = image[revealed[np.argsort(revealed[:, 1]), 0]]  # the image of each row of y, which is in one pair
    _, first = np.unique(image[revealed[:, 0]], return_index=True)  # the pair that reveals each image
    side = np.where(first < k, -1, np.argsort(np.argsort(-first)) % 2)
    rows = []
    for mine, known, images in ((0, revealed[:k, 0], image), (1, revealed[:k, 1], of_y)):
        stays = side[images] == mine
        stays[known] = True
        rows.append(np.flatnonzero(stays))
    return rows[0], rows[1]


def partners(image_x: np.ndarray, image_y: np.ndarray, pairs: np.ndarray) -> int:
    """How many rows without a known pair have their image, or a caption of it, in the other cloud."""
    free_x, free_y = (np.delete(side, rows) for side, rows in zip((image_x, image_y), pairs.T, strict=True))
    return int(np.isin(free_x, image_y).sum() + np.isin(free_y, image_x).sum())


def owners(a: Features, b: Features, where: str = "in the test split") -> np.ndarray:
    """Row of `a` that each row of `b` belongs to, int [m]: a caption's image, or in one modality the same item.

    Raises `InputError` if a row of `b` has no row of `a`, or the other way round; where: words for its message.
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
    """`captions` caption rows of each image (all if it has fewer; it has at least one), in the images' order."""
    order = rng(seed, "clouds", "captions").permutation(len(owner))
    by_image = order[np.argsort(owner[order], kind="stable")]
    counts = np.bincount(owner, minlength=n_images)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return by_image[rank < captions]


def groups(pairs: np.ndarray) -> np.ndarray:
    """For each of the pairs [k, 2] the first pair of its group, which pairs with common rows form; int [k].

    Whole groups are held out: an image with several captions is in several pairs, but in one fold.
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


def budget(pairs: str | int, available: int, unpaired: str = SHARED) -> int:
    """The number of known pairs; `InputError` if it isn't a number, more than available, or not of that setting."""
    if unpaired not in SETTINGS:
        raise InputError(f"unpaired: expected one of {', '.join(SETTINGS)}, found {unpaired!r}; mend the config.")
    if pairs == ALL:
        return available
    if not str(pairs).isdecimal():
        raise InputError(f"pairs: expected a number of pairs, 0 or more, or 'all', found {pairs!r}; mend the config.")
    if int(pairs) > available:
        raise InputError(f"pairs: a budget of {pairs} is larger than the train split, {available} pairs; lower it.")
    if unpaired == NONE:
        raise InputError(f"unpaired: expected shared, disjoint or foreign beside {pairs} pairs, found none; name one.")
    return int(pairs)
