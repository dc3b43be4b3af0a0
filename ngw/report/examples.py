"""The sheets of examples: retrieval both ways, generated captions and pictures, answers to questions.

An image is what `style.picture` takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ngw.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIGHT, WRONG = "#1B7837", "#B2182B"


class Ranked(NamedTuple):
    """A query and its nearest candidates, the best first; each says whether it is a true partner."""

    query: Any
    candidates: Sequence[tuple[Any, bool]]


def retrieval_sheet(to_text: Sequence[Ranked], to_image: Sequence[Ranked], title: str) -> Figure:
    """Images with their nearest captions, and captions with their nearest images."""
    with style.paper():
        lines = max(len(to_text), len(to_image))
        widest = max((len(item.candidates) for item in to_image), default=0)
        widths = [1, 2.6, 1.9, *[1] * widest]
        figure, panels = style.new(lines, len(widths), 7.2, 0.95 * lines + 0.3, width_ratios=widths)
        for axes in panels.flat:
            axes.set_axis_off()
        for (picture, words, *_), item in zip(panels, to_text, strict=False):
            style.picture(picture, item.query)
            for k, (text, right) in enumerate(item.candidates):
                text = style.fold(f"{'✓' if right else '–'} {text}", 42, 2, indent="   ")
                y, colour = 0.98 - k / len(item.candidates), RIGHT if right else style.GREY
                style.words(words, 0, y, text, 5.8, va="top", color=colour)
        for (_, _, words, *pictures), item in zip(panels, to_image, strict=False):
            style.words(words, 0.05, 0.5, style.fold(item.query, 24, 4), 6, va="center")
            for axes, (picture, right) in zip(pictures, item.candidates, strict=False):
                style.picture(axes, picture)
                if right:
                    _frame(axes)
        panels[0, 0].set_title("image to text", fontsize=7)
        panels[0, 2].set_title(style.fold(f"text to image  ({title})", 60), fontsize=7)
    return figure


def _frame(axes: Axes) -> None:
    """A green frame around a picture."""
    axes.set_axis_on()
    style.bare(axes)
    for spine in axes.spines.values():
        spine.set(visible=True, color=RIGHT, linewidth=1.6)


def nearest(
    queries: np.ndarray, candidates: np.ndarray, partners: np.ndarray, count: int
) -> list[list[tuple[int, bool]]]:
    """The nearest candidates [m, e] of each query [q, e] by inner product: [(row, true partner?)].

    partners [q, m]: whether a query and a candidate belong together.
    """
    orders = [np.argsort(-(candidates @ query), kind="stable")[:count] for query in queries]
    return [[(int(row), bool(own[row])) for row in order] for order, own in zip(orders, partners, strict=True)]


def ranked(query: Any, rows: Sequence[tuple[int, bool]], items: Mapping[int, Any] | Sequence[Any]) -> Ranked:
    """A query and its candidates, from their rows."""
    return Ranked(query, [(items[row], right) for row, right in rows])


class Captioned(NamedTuple):
    """An image as `style.picture` takes it, a reference, and a caption of each method: {method: caption}."""

    image: Any
    reference: str
    captions: Mapping[str, str]


def caption_sheet(items: Sequence[Captioned]) -> Figure:
    """The sheet of captions: per line an image, its reference and each method's caption."""
    with style.paper():
        lines = max((len(item.captions) for item in items), default=0) + 1
        figure, panels = style.new(len(items), 2, 7.0, len(items) * max(1.2, 0.17 * lines), width_ratios=[1, 4])
        for (picture, words), item in zip(panels, items, strict=True):
            picture.set_axis_off()
            words.set_axis_off()
            style.picture(picture, item.image)
            captions = {"reference": item.reference, **item.captions}
            for k, (method, caption) in enumerate(captions.items()):
                y, colour = 1 - k / len(captions), style.GREY if method == "reference" else style.INK
                style.words(words, 0, y, style.fold(method, 22), 6.5, va="top", color=style.GREY)
                style.words(words, 0.24, y, style.fold(caption or "(nothing)", 92), 6.5, va="top", color=colour)
    return figure


class Drawn(NamedTuple):
    """A caption, its real image, and each method's picture of it: {method: picture}."""

    caption: str
    real: Any
    pictures: Mapping[str, Any]


def image_sheet(items: Sequence[Drawn]) -> Figure:
    """The contact sheet: per line a caption, its real image, and each method's picture of the caption."""
    with style.paper():
        methods = list(items[0].pictures) if items else []
        widths = [2.6, 1, *[1] * len(methods)]
        figure, panels = style.new(
            len(items), len(widths), 0.72 * len(widths) + 1.2, 0.78 * len(items) + 0.2, width_ratios=widths
        )
        for axes in panels.flat:
            axes.set_axis_off()
        for (words, *pictures), item in zip(panels, items, strict=True):
            style.words(words, 0, 0.5, style.fold(item.caption, 30, 5), 6, va="center")
            for axes, picture in zip(pictures, [item.real, *item.pictures.values()], strict=True):
                style.picture(axes, picture, interpolation="bicubic")
        for axes, title in zip(panels[0, 1:], ["real", *methods], strict=True):
            axes.set_title(style.fold(title, 13, 3), fontsize=6)
    return figure


class Example(NamedTuple):
    """One question: image as the encoder sees it, the question, the annotators' answer, and answers by fusion.

    answers: {fusion: (answer, accuracy)}.  attention: the words' attention to each image token, [t], row by row where
    the tokens form a square grid; None without attention.
    """

    image: Any
    question: str
    truth: str
    answers: Mapping[str, tuple[str, float]]
    attention: np.ndarray | None = None


def vqa_sheet(examples: Sequence[Example]) -> Figure:
    """A page of examples, four in a line: the question, the image under its attention, the answers."""
    answers = max((len(example.answers) for example in examples), default=0)
    with style.paper():
        figure, panels = style.grid(len(examples), (0, 1.85), (0, 2.35 + 0.15 * answers))
        for axes, example in zip(panels, examples, strict=True):
            _example(axes, example)
    return figure


def _example(axes: Axes, example: Example) -> None:
    """One example in its panel."""
    picture = np.asarray(example.image)
    axes.imshow(picture)
    if example.attention is not None:
        _overlay(axes, example.attention, picture.shape[:2])
    axes.set_axis_off()
    axes.set_title(style.fold(example.question, 27, 2), fontsize=7, fontweight="normal")
    truth = style.fold(f"annotators: {example.truth}", 34)
    style.words(axes, 0, -0.03, truth, 6.5, va="top", color=style.INK)
    for k, (fusion, (answer, accuracy)) in enumerate(example.answers.items(), 1):
        sign, colour = ("✓", RIGHT) if accuracy > 0.95 else ("✗", WRONG) if not accuracy else ("–", style.GREY)
        share = f" ({100 * accuracy:.0f} %)" if sign == "–" else ""  # the answer of a few annotators
        words = style.fold(f"{sign} {fusion}: {answer}{share}", 34)
        style.words(axes, 0, -0.03 - 0.085 * k, words, 6.5, va="top", color=colour)


def _overlay(axes: Axes, attention: np.ndarray, shape: tuple[int, int]) -> None:
    """A white veil over the image, thinner where attention [t] is stronger."""
    side = math.isqrt(len(attention))
    if side * side != len(attention):
        return
    grid = attention.reshape(side, side)
    strength = (grid - grid.min()) / (np.ptp(grid) or 1.0)
    veil = np.ones((side, side, 4))
    veil[..., 3] = 0.75 * (1 - strength)
    height, width = shape
    axes.imshow(veil, extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="bicubic")
