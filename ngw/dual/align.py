"""The align stage: from two files of features, or images with captions, to a table of methods and a fitted model."""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from ngw.arguments import pairs
from ngw.cli import stage
from ngw.comparison import Comparison, compare, compare_captions
from ngw.data._files import image_path
from ngw.data.folder import lines
from ngw.dual import cache, sides
from ngw.dual.encoder import DualEncoder, check_replaceable
from ngw.dual.encoding import encoded
from ngw.dual.files import SUFFIXES, found, kinds, pictures
from ngw.encoders import Encoder
from ngw.errors import InputError, naming
from ngw.features import Features
from ngw.io import arrays
from ngw.io.atomic import check_apart, check_writable

Array = Annotated[Path | None, f"{arrays.FORMS}, [n, d]; row k of both is one item"]
Further = Annotated[Path | None, "features of training items of this side alone, [m, d]"]
Side = Annotated[str, "an encoder: effnet-lite0, minilm-l6, a model's folder, or an entry as JSON"]
OnError = Annotated[Literal["stop", "skip"], "what to do with an image that can't be read"]
Output = Annotated[Path | None, "output of the first method, budget and seed: a file or, with images, a model's folder"]
METHODS = ("ngw", "cca", "ridge", "unaligned")


@stage("Align two encoders by your images and captions, or two files of features, and rank the held-out items.")
def align(
    x: Array = None, y: Array = None,
    images: Annotated[Path | None, "folder of images, instead of --x and --y"] = None,
    captions: Annotated[Path | None, "csv with the columns image, a path below the folder, and caption"] = None,
    vision: Side = "effnet-lite0", text: Side = "minilm-l6",
    pairs: Annotated[Sequence[str], pairs, "budgets of known training pairs: numbers, or all"] = ("all",),
    test: Annotated[float, "rows or images held out: a number, or a share below 1"] = 0.2,
    methods: Annotated[Sequence[str], "ngw, ngw~epsilon=0.1, or kinds of ngw/methods"] = METHODS,
    seeds: Annotated[Sequence[int], "of split, pairs and fits; for several, the mean and its spread are shown"] = (0,),
    output: Output = None,
    x_unpaired: Further = None, y_unpaired: Further = None, on_error: OnError = "stop",
) -> None:  # fmt: skip
    """The align command, which no rule runs: your own features or images to a table, and the fitted first method."""
    how = {"pairs": pairs, "test": test, "methods": methods, "seed": seeds}
    given = tuple(value is not None for value in (x, y, images, captions))
    if given == (True, True, False, False):
        _features(x, y, how, output, x_unpaired, y_unpaired)
    elif given == (False, False, True, True) and x_unpaired is None and y_unpaired is None:
        names = {"vision": vision, "text": text}
        _pictures(Path(str(images)), Path(str(captions)), names, how, output, on_error)
    else:
        raise InputError(
            "expected --x and --y (with --x-unpaired and --y-unpaired if there are some), or --images and --captions, "
            "found another combination; give one of these two pairs."
        )


def _features(x, y, how, output, x_unpaired, y_unpaired) -> None:
    """Two files of features to a table, and the first method's file."""
    if output is not None:
        check_writable(output)
        check_apart(output, x, y, x_unpaired, y_unpaired)
    with naming(f"{x}, {y}"), warnings.catch_warnings(record=True) as caught:
        a, b = arrays.read(x), arrays.read(y)
        _check_order(a, b)
        further = [None if path is None else arrays.read(path).x for path in (x_unpaired, y_unpaired)]
        comparison = compare(a.x, b.x, **how, x_unpaired=further[0], y_unpaired=further[1])
    _say(caught, f"{x}, {y}")
    print(comparison)
    if output is not None:
        run, model = comparison.first
        model.save(output, x=str(x), y=str(y), pairs=run.pairs, seed=str(run.seed))


def _check_order(a: arrays.Rows, b: arrays.Rows) -> None:
    """If both files have ids, row k of both must be of the same item; captions count by their image's id."""
    ids, others = (rows.ids if rows.image_ids is None else rows.image_ids for rows in (a, b))
    if ids is None or others is None or len(ids) != len(others):  # `compare` refuses other lengths
        return
    if (odd := np.flatnonzero(ids != others)).size:
        k = int(odd[0])
        raise InputError(f"row {k}: expected the same item in both, found ids {ids[k]} and {others[k]}; sort by id.")


def _say(caught: Sequence[warnings.WarningMessage], where: str) -> None:
    for warning in caught:
        print(f"ngw align: {where}: {warning.message}", file=sys.stderr)


class Album(NamedTuple):
    """Images with captions: paths below a folder, captioned ones first; captions, and each one's image and line.

    others: a few words on the folder's other files.
    """

    images: list[str]
    captioned: int
    captions: list[str]
    owner: list[int]
    lines: list[int]
    others: str


def album(images: Path, captions: Path) -> Album:
    """The images of a folder and the captions of a csv; each caption must be about one of the images."""
    if not captions.is_file():
        raise InputError(f"{captions}: expected a csv of captions, found no such file; check the path.")
    (known, others), owners, texts, rows = found(images), [], [], lines(captions)
    for line, row in rows:
        where = f"{captions}: line {line}"
        name = os.path.relpath(image_path(images, row["image"], where), images)
        if name not in known:
            form = "" if Path(name).suffix.lower() in SUFFIXES else f" ({kinds()})"
            raise InputError(f"{where}: expected an image of {images}{form}, found {row['image']!r}; mend it.")
        owners.append(name)
        texts.append(row["caption"])
    order = list(dict.fromkeys(owners))
    number = {name: k for k, name in enumerate(order)}
    names = order + [name for name in known if name not in number]
    return Album(names, len(order), texts, [number[o] for o in owners], [line for line, _ in rows], others)


def _pictures(
    images: Path, captions: Path, names: dict[str, str], how: dict[str, Any], output: Path | None, on_error: str
) -> None:
    """Images and captions to a table, and the first method's dual encoder."""
    if output is not None:
        check_replaceable(output)
    photos = album(images, captions)
    vision, text = sides.build(names["vision"], "vision"), sides.build(names["text"], "text")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        x = picture_features(vision, images, photos.images, on_error)
        keys = [cache.key(caption) for caption in photos.captions]
        y = cache.through(cache.place(text, captions), text, photos.captions, keys, partial(encoded, text))
        with naming(f"{images}, {captions}"):
            comparison, unpaired = _compared(photos, x, y, how)
    _say(caught, str(images))
    if photos.others:
        print(f"ngw align: {images}: {photos.others} left out", file=sys.stderr)
    if told := text.says_of_cut(photos.captions):
        print(f"ngw align: {captions}: {told}", file=sys.stderr)
    comparison.items = f"lines of {captions.name}:"
    print(comparison)
    if output is None:
        return
    data = os.fsencode(f"{images.absolute().name}, {captions.name}").decode(errors="replace")  # the card is UTF-8
    about = _about(comparison, photos, unpaired, data)
    model = DualEncoder(vision, text, comparison.first[1], about)
    model.names = {side: sides.named(name) for side, name in names.items()}
    model.save(output)
    then = ["ngw", "index", str(images), "--model", str(output), "--output", f"{images.name}.index"]
    print(f"\n{output}: a dual encoder. Next: {shlex.join(then)}")


def picture_features(vision: Encoder, folder: Path, names: Sequence[str], on_error: str) -> np.ndarray:
    """Features of images below a folder, cached by name, size and time; NaN for skipped ones."""
    states = pictures(folder)
    keys = [cache.key(name, *states[name]) for name in names]
    paths = [str(folder / name) for name in names]
    return cache.through(cache.place(vision, folder), vision, paths, keys, partial(encoded, vision, on_error=on_error))


def _compared(photos: Album, x: np.ndarray, y: np.ndarray, how: dict[str, Any]) -> tuple[Comparison, int]:
    """The table, and how many images without a caption took part; skipped images take no part."""
    read, n = np.isfinite(x).all(1), photos.captioned
    ids, owner = np.flatnonzero(read[:n]), np.array(photos.owner)
    kept = np.flatnonzero(read[owner])
    unpaired = x[n:][read[n:]]
    a = Features(ids, ids, x[ids], {"modality": "vision"})
    b = Features(np.array(photos.lines)[kept], owner[kept], y[kept], {"modality": "text"})
    return compare_captions(a, b, **how, unpaired=unpaired if len(unpaired) else None), len(unpaired)


def _about(comparison: Comparison, photos: Album, unpaired: int, data: str) -> dict[str, Any]:
    """The model card's facts about the first fit."""
    run, model = comparison.first
    return {
        "data": data,
        "captioned_pictures": photos.captioned,
        "captions": len(photos.captions),
        "known_pairs": model.n_pairs_,
        **({"known_pairs_left_out": len(run.doubted)} if len(run.doubted) else {}),
        "pictures_without_a_caption": unpaired,
        "held_out": f"{comparison.tested}, unseen by the fit",
        "seed": run.seed,
        "converged": model.converged_,
        **({"note": model.note_} if model.note_ else {}),
        "metrics": run.metrics,
    }
