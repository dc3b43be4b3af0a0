"""The places of the embedded data set: a phrase, a name, and a background drawn with Pillow for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SIZE = 160  # pixels, both sides
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Place:
    """Where a scene is: its one-word name (an answer), phrases for captions, and its painter."""

    name: str
    phrases: tuple[str, ...]
    paint: Callable[[np.random.Generator], Image.Image]


def fade(top: Colour, bottom: Colour, height: int = SIZE) -> Image.Image:
    """A vertical gradient, SIZE wide."""
    mask = Image.linear_gradient("L").resize((SIZE, height))
    return Image.composite(Image.new("RGB", (SIZE, height), bottom), Image.new("RGB", (SIZE, height), top), mask)


def shade(random: np.random.Generator, colour: Colour, spread: int = 14) -> Colour:
    """A colour a little lighter or darker."""
    shift = int(random.integers(-spread, spread + 1))
    r, g, b = (min(255, max(0, channel + shift)) for channel in colour)
    return r, g, b


def ground(random: np.random.Generator, sky: tuple[Colour, Colour], floor: tuple[Colour, Colour], low=80, high=105):
    """A sky over a floor with a horizon at random height; returns image, pen, horizon."""
    horizon = int(random.integers(low, high))
    image = fade(shade(random, sky[0]), shade(random, sky[1]))
    image.paste(fade(shade(random, floor[0]), shade(random, floor[1]), SIZE - horizon), (0, horizon))
    return image, ImageDraw.Draw(image), horizon


def dots(random: np.random.Generator, pen: ImageDraw.ImageDraw, box, number: int, radius: int, colours) -> None:
    """Dots at random within a box (left, top, right, bottom)."""
    for _ in range(number):
        x, y = int(random.integers(box[0], box[2])), int(random.integers(box[1], box[3]))
        r = int(random.integers(1, radius + 1))
        pen.ellipse((x - r, y - r, x + r, y + r), fill=colours[int(random.integers(len(colours)))])


def beach(random):
    image, pen, horizon = ground(random, ((140, 205, 245), (205, 235, 250)), ((240, 220, 165), (225, 195, 130)))
    pen.rectangle((0, horizon - 28, SIZE, horizon), fill=shade(random, (70, 160, 205)))
    pen.line((0, horizon, SIZE, horizon), fill=(250, 250, 245), width=3)
    return image


def meadow(random):
    image, pen, horizon = ground(random, ((165, 215, 250), (225, 240, 250)), ((150, 205, 105), (105, 170, 75)), 60, 85)
    dots(random, pen, (0, horizon + 4, SIZE, SIZE), 24, 2, [(250, 245, 160), (250, 250, 250), (240, 170, 190)])
    return image


def snow(random):
    image, pen, _ = ground(random, ((190, 205, 220), (220, 228, 236)), ((248, 250, 252), (225, 235, 245)))
    dots(random, pen, (0, 0, SIZE, SIZE), 45, 2, [(255, 255, 255)])
    return image


def night(random):
    image = fade(shade(random, (12, 16, 50), 8), shade(random, (50, 58, 110), 8))
    pen = ImageDraw.Draw(image)
    dots(random, pen, (0, 0, SIZE, SIZE), 40, 1, [(255, 255, 230), (220, 225, 255)])
    x, y = int(random.integers(15, 145)), int(random.integers(12, 28))
    pen.ellipse((x - 10, y - 10, x + 10, y + 10), fill=(250, 245, 205))
    return image


def city(random):
    image, pen, horizon = ground(
        random, ((195, 210, 228), (228, 226, 224)), ((150, 150, 155), (120, 120, 126)), 105, 125
    )
    left = 0
    while left < SIZE:
        width, top = int(random.integers(16, 32)), int(random.integers(15, 75))
        pen.rectangle((left, top, left + width, horizon), fill=shade(random, (150, 160, 178), 22))
        for y in range(top + 5, horizon - 5, 10):
            for x in range(left + 4, left + width - 4, 8):
                pen.rectangle((x, y, x + 3, y + 4), fill=(236, 230, 180))
        left += width + int(random.integers(0, 5))
    return image


def desert(random):
    image, pen, horizon = ground(random, ((250, 225, 170), (252, 240, 205)), ((228, 170, 95), (205, 140, 70)), 85, 110)
    for centre in random.integers(0, SIZE, 3):
        pen.ellipse((centre - 55, horizon - 14, centre + 55, horizon + 26), fill=shade(random, (226, 168, 94), 8))
    return image


def forest(random):
    image = fade(shade(random, (95, 140, 95)), shade(random, (55, 95, 55)))
    pen = ImageDraw.Draw(image)
    for x in range(int(random.integers(0, 14)), SIZE, int(random.integers(20, 27))):
        pen.rectangle((x, 0, x + int(random.integers(6, 11)), SIZE), fill=shade(random, (100, 78, 56), 12))
    dots(random, pen, (0, 0, SIZE, 26), 34, 12, [(60, 115, 60), (75, 130, 70), (50, 100, 55)])
    return image


def water(random):
    image = fade(shade(random, (90, 190, 215)), shade(random, (15, 75, 135)))
    pen = ImageDraw.Draw(image)
    for _ in range(16):
        x, y, r = (int(random.integers(a, b)) for a, b in ((0, SIZE), (0, SIZE), (2, 6)))
        pen.ellipse((x - r, y - r, x + r, y + r), outline=(200, 235, 245))
    return image


def mountains(random):
    image, pen, _ = ground(random, ((180, 210, 240), (225, 235, 245)), ((140, 165, 120), (115, 145, 100)), 115, 130)
    for centre in (int(random.integers(-5, 45)), int(random.integers(115, 165)), int(random.integers(50, 110))):
        peak, half = int(random.integers(12, 50)), int(random.integers(45, 70))
        pen.polygon([(centre, peak), (centre - half, 122), (centre + half, 122)], fill=shade(random, (135, 140, 155)))
        cap = half * 18 // (122 - peak)
        pen.polygon([(centre, peak), (centre - cap, peak + 18), (centre + cap, peak + 18)], fill=(248, 250, 252))
    return image


def sunset(random):
    image, pen, horizon = ground(random, ((130, 70, 125), (250, 150, 85)), ((95, 60, 85), (60, 40, 65)), 110, 130)
    x, r = int(random.integers(25, 135)), int(random.integers(16, 24))
    pen.pieslice((x - r, horizon - r, x + r, horizon + r), 180, 360, fill=(255, 222, 120))
    return image


def road(random):
    image, pen, horizon = ground(random, ((185, 218, 240), (225, 235, 240)), ((98, 100, 106), (80, 82, 88)), 55, 70)
    pen.rectangle((0, horizon, SIZE, horizon + 14), fill=shade(random, (130, 175, 95)))
    middle = (horizon + 14 + SIZE) // 2
    for x in range(int(random.integers(-20, 0)), SIZE, 38):
        pen.rectangle((x, middle - 3, x + 22, middle + 3), fill=(245, 240, 225))
    return image


def room(random):
    image, pen, horizon = ground(
        random, ((232, 214, 222), (232, 214, 222)), ((196, 154, 110), (176, 134, 92)), 105, 125
    )
    for x in range(int(random.integers(0, 12)), SIZE, 20):
        pen.rectangle((x, 0, x + 8, horizon), fill=(222, 196, 208))
    pen.rectangle((0, horizon - 6, SIZE, horizon), fill=(250, 246, 242))
    return image


def rain(random):
    image = fade(shade(random, (110, 122, 138)), shade(random, (160, 170, 180)))
    pen = ImageDraw.Draw(image)
    for _ in range(60):
        x, y = int(random.integers(0, SIZE + 10)), int(random.integers(-10, SIZE))
        pen.line((x, y, x - 5, y + 14), fill=(205, 220, 238), width=1)
    return image


def tablecloth(random):
    colour = [(225, 130, 130), (235, 205, 120)][int(random.integers(2))]
    image, shift = Image.new("RGB", (SIZE, SIZE), (250, 246, 240)), int(random.integers(0, 20))
    pen = ImageDraw.Draw(image)
    for row, y in enumerate(range(-shift, SIZE, 20)):
        for x in range(-shift + 20 * (row % 2), SIZE, 40):
            pen.rectangle((x, y, x + 19, y + 19), fill=colour)
    return image


def table(random):
    image = Image.new("RGB", (SIZE, SIZE), shade(random, (196, 152, 104)))
    pen = ImageDraw.Draw(image)
    for y in range(int(random.integers(-20, 0)), SIZE, 27):
        pen.rectangle((0, y, SIZE, y + 25), fill=shade(random, (202, 160, 112), 12))
        pen.line((0, y + 26, SIZE, y + 26), fill=(140, 100, 62))
    return image


def wall(random):
    image, shift = Image.new("RGB", (SIZE, SIZE), (222, 212, 202)), int(random.integers(0, 30))
    pen = ImageDraw.Draw(image)
    for row, y in enumerate(range(0, SIZE, 14)):
        for x in range(-shift - 15 * (row % 2), SIZE, 30):
            pen.rectangle((x, y, x + 27, y + 11), fill=shade(random, (178, 98, 82), 12))
    return image


PLACES = (
    Place("beach", ("on a beach", "on the sand by the sea", "at the seaside"), beach),
    Place("meadow", ("in a meadow", "in a green field", "on the grass"), meadow),
    Place("snow", ("in the snow", "on a snowy day", "on snow-covered ground"), snow),
    Place("night", ("under a night sky", "under the stars", "at night in the moonlight"), night),
    Place("city", ("in a city", "in front of tall office towers", "downtown"), city),
    Place("desert", ("in a desert", "among sand dunes", "in a hot, dry desert"), desert),
    Place("forest", ("in a forest", "among the trees of a wood", "in the woods"), forest),
    Place("water", ("under water", "below the surface of the sea", "deep under the sea"), water),
    Place("mountains", ("in the mountains", "in front of snowy peaks", "before a mountain range"), mountains),
    Place("sunset", ("at sunset", "in front of the setting sun", "under an orange evening sky"), sunset),
    Place("road", ("on a road", "on a grey street", "by the side of a highway"), road),
    Place("room", ("in a room", "indoors, before striped wallpaper", "inside a house"), room),
    Place("rain", ("in the rain", "on a rainy day", "under a rainy grey sky"), rain),
    Place("tablecloth", ("on a checkered tablecloth", "on a checked cloth", "on a picnic cloth"), tablecloth),
    Place("table", ("on a wooden table", "on brown wooden boards", "on a table made of planks"), table),
    Place("wall", ("in front of a brick wall", "before a wall of red bricks", "by a brick wall"), wall),
)
