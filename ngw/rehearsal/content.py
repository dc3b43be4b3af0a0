"""The content of made data: pictures, captions and questions about numbered images, answers as frequent as people's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np

from ngw.rehearsal.layouts import Asked, Captioned
from ngw.seeds import rng

SYLLABLES = [consonant + vowel for consonant in "bdfghjklmnprstvwyz" for vowel in "aeiou"]  # 90
WORDS = 6_000  # different words of the captions, besides digits
LENGTH = 5  # words of a caption besides its image's digits; together ten or eleven, as in COCO
ANSWERS = 20_000  # different ones
POOL = 32  # different pictures of a split: other names are links to these files


@cache
def word(k: int) -> str:
    """The k-th word."""
    n = len(SYLLABLES)
    return SYLLABLES[k % n] + SYLLABLES[k // n % n] + (SYLLABLES[k // n**2 % n] if k >= n**2 else "")


def about(number: int, words: Iterable[int]) -> str:
    """Some words, and an image's number digit by digit, from which encoders of the kind `made` know the image."""
    return " ".join([*map(word, words), *str(number)])


def often(draw: np.random.Generator, shape: tuple[int, ...], most: int) -> np.ndarray:
    """Numbers below `most`, the k-th with a probability of about 1 / k, like the frequencies of words (Zipf)."""
    return np.floor(most ** draw.random(shape)).astype(np.int64) - 1


def captioned(numbers: Iterable[int], split: str, stream: str, each: int = 5) -> Iterator[Captioned]:
    """Images of a split, each with its captions."""
    draw = rng(0, "rehearsal", stream, split)
    for number in numbers:
        words = often(draw, (each, LENGTH), WORDS)
        yield Captioned(number, split, [f"a {about(number, row)}" for row in words])


def asked(images: range, count: int, stream: str) -> list[Asked]:
    """Questions about images, in turn: 38 in 100 are answered by yes or no, 12 by a number."""
    draw = rng(0, "rehearsal", stream)
    kinds, words, said = draw.random(count), often(draw, (count, 3), WORDS), often(draw, (count, 10), ANSWERS)
    sure = draw.random((count, 10)) < 0.7  # annotators who agree with the first one
    questions = []
    for n in range(count):
        image, j = images[n % len(images)], n // len(images)
        if kinds[n] < 0.38:
            kind, type_, answers = "is the", "yes/no", ["yes" if k % 2 else "no" for k in said[n]]
        elif kinds[n] < 0.5:
            kind, type_, answers = "how many", "number", [str(k % 20) for k in said[n]]
        else:
            kind, type_, answers = "what is", "other", [word(k) for k in said[n]]
        answers = [answers[0] if agrees else answer for answer, agrees in zip(answers, sure[n], strict=True)]
        questions.append(Asked(1000 * image + j, image, f"{kind} {about(image, words[n])}?", kind, type_, answers))
    return questions


def pictures(folder: Path, paths: Iterable[str], size: tuple[int, int], pool: Path) -> int:
    """Put a picture of some pixels at each path below a folder, and return their number.

    A few pictures are made in `pool`, and the paths are hard links to them: a million take the space of a few, and are
    read and decoded as usual.
    """
    made, count = _pool(pool, size), 0
    parents = set()
    for count, path in enumerate(paths, 1):
        file = folder / path
        if file.parent not in parents:
            file.parent.mkdir(parents=True, exist_ok=True)
            parents.add(file.parent)
        if not file.exists():
            os.link(made[count % len(made)], file)
    return count


def _pool(folder: Path, size: tuple[int, int]) -> list[Path]:
    """A few JPEG files as large as photographs: smooth surfaces with a little noise."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for k in range(POOL):
        draw = rng(0, "rehearsal", "pictures", folder.name, k)
        files.append(folder / f"{k}.jpg")
        if files[-1].is_file():  # two data sets can share a pool, and a rehearsal can resume
            continue
        coarse = Image.fromarray(draw.integers(0, 256, (12, 16, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        pixels = np.asarray(coarse) + draw.normal(0, 12, (size[1], size[0], 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(files[-1], quality=92)
    return files
