"""A scene of the embedded data set: what is in it (a few groups of nouns in a place) and how it is drawn."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ngw.data._scenes_art import Noun, nouns, sprite
from ngw.data._scenes_places import PLACES, SIZE, Place
from ngw.seeds import rng

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels
HALF = SIZE // 2
# Where the groups are, for one, two and three kinds of objects.
LAYOUTS: dict[int, tuple[tuple[Box, ...], ...]] = {
    1: (((0, 0, SIZE, SIZE),),),
    2: (
        ((0, 0, HALF, SIZE), (HALF, 0, SIZE, SIZE)),
        ((0, 0, SIZE, HALF), (0, HALF, SIZE, SIZE)),
    ),
    3: (
        ((0, 0, HALF, HALF), (HALF, 0, SIZE, HALF), (40, HALF, 120, SIZE)),
        ((40, 0, 120, HALF), (0, HALF, HALF, SIZE), (HALF, HALF, SIZE, SIZE)),
    ),
}
KINDS = (0.25, 0.45, 0.30)  # shares of scenes with one, two, three kinds of objects
COUNTS = {1: (0.3, 0.25, 0.2, 0.15, 0.1), 2: (0.5, 0.3, 0.2), 3: (0.8, 0.2)}  # shares of 1, 2, ... copies
SIZES = {"small": 0.66, "": 0.84, "large": 1.0}  # share of its room that an object fills; "": not mentioned
DISTRACTORS = ("🍃", "🪶", "✨", "🎵", "💧", "👣", "🫧", "❄️")  # drawn small; no caption or question names them


@dataclass(frozen=True)
class Group:
    """Copies of one object, all of one size, in one part of the picture."""

    noun: Noun
    count: int
    size: str
    box: Box

    @property
    def name(self) -> str:
        """The noun, singular or plural by its number."""
        return self.noun.name if self.count == 1 else self.noun.plural

    @property
    def centre(self) -> tuple[int, int]:
        """The middle of the group's part of the picture."""
        return (self.box[0] + self.box[2]) // 2, (self.box[1] + self.box[3]) // 2


@dataclass(frozen=True)
class Scene:
    """The content of a picture: groups in the order in which captions name them, and the place."""

    groups: tuple[Group, ...]
    place: Place

    def count(self, category: str | None = None) -> int:
        """The number of objects, of one category or in all."""
        return sum(g.count for g in self.groups if category in (None, g.noun.category))

    def at(self, side: str) -> Group | None:
        """The group at a side ("on the left", "at the top", ...), or None if there isn't exactly one."""
        if len(self.groups) == 1:
            return None
        axis, sign = {"left": (0, 1), "right": (0, -1), "top": (1, 1), "bottom": (1, -1)}[side.rsplit(" ", 1)[-1]]
        ranked = sorted(self.groups, key=lambda group: sign * group.centre[axis])
        return ranked[0] if ranked[0].centre[axis] != ranked[1].centre[axis] else None


def relation(first: Group, second: Group) -> str:
    """Where the first group is, seen from the second: "to the left of", "to the right of", "above" or "below"."""
    across, down = (first.centre[axis] - second.centre[axis] for axis in (0, 1))
    if abs(down) >= HALF:
        return "above" if down < 0 else "below"
    return "to the left of" if across < 0 else "to the right of"


def known_nouns(categories: Sequence[str] | None = None) -> list[Noun]:
    """The nouns of these categories, or all."""
    return [noun for noun in nouns() if categories is None or noun.category in categories]


def sample(seed: int, split: str, index: int, categories: Sequence[str] | None = None) -> Scene:
    """The scene at an address, with nouns of these categories, or of all; it doesn't depend on the split's size."""
    known = known_nouns(categories)
    random = rng(seed, "scenes", split, index, "content")
    kinds = 1 + int(random.choice(3, p=KINDS))
    layout = LAYOUTS[kinds][int(random.integers(len(LAYOUTS[kinds])))]
    chosen = random.choice(len(known), kinds, replace=False)
    boxes = random.permutation(kinds)
    groups = []
    for noun, box in zip(chosen, boxes, strict=True):
        count = 1 + int(random.choice(len(COUNTS[kinds]), p=COUNTS[kinds]))
        size = ("small", "", "large")[int(random.choice(3, p=(0.25, 0.5, 0.25)))]
        if size == "small" and grid(layout[int(box)], count)[0][2] < 50:
            size = ""  # an object much smaller than this can't be recognised
        groups.append(Group(known[int(noun)], count, size, layout[int(box)]))
    return Scene(tuple(groups), PLACES[int(random.integers(len(PLACES)))])


@functools.cache
def grid(box: Box, count: int) -> tuple[tuple[float, float, float], ...]:
    """Places for `count` copies in a box: (x, y, room), from the grid with the largest square room."""
    width, height = box[2] - box[0], box[3] - box[1]
    columns = max(range(1, count + 1), key=lambda n: min(width / n, height / -(-count // n)))
    rows = -(-count // columns)
    cells = []
    for row in range(rows):
        here = min(columns, count - row * columns)
        for column in range(here):
            x = box[0] + width * (column + 0.5) / here
            y = box[1] + height * (row + 0.5) / rows
            cells.append((x, y, min(width / columns, height / rows)))
    return tuple(cells)


def place_art(image: Image.Image, art: Image.Image, x: float, y: float) -> None:
    """Paste a drawing with its middle at (x, y), moved inside the picture where it would stick out."""
    left = min(max(0, round(x - art.width / 2)), SIZE - art.width)
    top = min(max(0, round(y - art.height / 2)), SIZE - art.height)
    image.paste(art.convert("RGBA"), (left, top), art.getchannel("a"))


def scaled(art: Image.Image, pixels: float) -> Image.Image:
    """The drawing with its longest side at `pixels`."""
    ratio = pixels / max(art.size)
    size = (max(1, round(art.width * ratio)), max(1, round(art.height * ratio)))
    return art.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.5)


def draw(scene: Scene, random: np.random.Generator) -> Image.Image:
    """The picture of a scene, RGB, SIZE x SIZE; `random` draws what the scene leaves open: shifts, turns, mirroring."""
    image = scene.place.paint(random)
    for _ in range(int(random.integers(0, 4))):
        art = scaled(sprite(DISTRACTORS[int(random.integers(len(DISTRACTORS)))]), int(random.integers(10, 18)))
        place_art(image, art, random.uniform(8, SIZE - 8), random.uniform(8, SIZE - 8))
    for group in scene.groups:
        for x, y, room in grid(group.box, group.count):
            pixels = SIZES[group.size] * (room - 4) * random.uniform(0.93, 1.0)
            art = scaled(sprite(group.noun.character), pixels)
            if random.random() < 0.5:
                art = art.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            art = art.rotate(random.uniform(-8, 8), Image.Resampling.BILINEAR, expand=True)
            slack = max(2.0, (room - pixels) / 2)
            place_art(image, art, x + random.uniform(-slack, slack), y + random.uniform(-slack, slack))
    return image
