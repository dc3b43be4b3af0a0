"""What alignment looks like: clouds before and after, the plan of a small sample, examples of retrieval both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ngw.report import style
from ngw.report.vqa_figures import RIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINKED = 40  # pairs that a line joins
NAMES = ("images", "captions")


class Seen(NamedTuple):
    """Test pairs: images x [n, d_x] and a caption each y [n, d_y], as they come; u, v [n, e]: where they are compared;
    plan [k, k]: the entropic plan between the first k of them there, rows images."""

    x: np.ndarray
    y: np.ndarray
    u: np.ndarray
    v: np.ndarray
    plan: np.ndarray


def plane(z: np.ndarray) -> np.ndarray:
    """Rows [n, d] in the plane of their two leading principal axes, each cloud to unit spread: [n, 2]."""
    z = z - z.mean(0, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(z, full_matrices=False)
    places = left[:, :2] * sizes[:2] / max(float(np.sqrt((sizes[:2] ** 2).mean() / len(z))), 1e-12)
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))  # one row, or one feature, has but one axis


def shared_plane(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows [n, e] of one space in the plane in which they agree most: [n, 2] each, by one projection.

    Of the directions of the space, the two with the largest covariance of u's and v's coordinates.
    """
    u, v = (z / np.linalg.norm(z, axis=1, keepdims=True).clip(1e-12) for z in (u, v))
    u, v = u - u.mean(0), v - v.mean(0)
    across = u.T @ v
    axes = np.linalg.eigh(across + across.T)[1][:, :-3:-1]
    spread = max(float(np.sqrt((np.concatenate([u @ axes, v @ axes]) ** 2).mean())), 1e-12)
    missing = ((0, 0), (0, 2 - axes.shape[1]))
    return np.pad(u @ axes / spread, missing), np.pad(v @ axes / spread, missing)


def clouds_figure(seen: Seen, title: str) -> Figure:
    """Three panels: each cloud in its own plane; both in one plane of the shared space; the plan of a small sample."""
    from matplotlib.colors import LogNorm

    with style.paper():
        figure, panels = style.new(1, 3, 7.2, 2.5)
        before, shared, matrix = panels[0]
        _clouds(before, plane(seen.x), plane(seen.y))
        before.set_title("before: each in its own plane")
        _clouds(shared, *shared_plane(seen.u, seen.v))
        shared.set_title(style.fold(f"after: {title}", 32, 2))
        before.legend(loc="upper left", handletextpad=0.2, borderpad=0)
        share = seen.plan * len(seen.plan)  # of a row's mass
        matrix.imshow(share, cmap="Greys", norm=LogNorm(1e-3, 1, clip=True), interpolation="nearest")
        matrix.set_title(f"the plan of {len(share)} of them")
        matrix.set_xlabel("captions, in the images' order")
        matrix.set_ylabel("images")
        matrix.set_xticks([])
        matrix.set_yticks([])
        matrix.grid(False)
    return figure


def _clouds(axes: Axes, images: np.ndarray, captions: np.ndarray) -> None:
    """Two clouds [n, 2] with lines between the first true pairs."""
    for (x0, y0), (x1, y1) in zip(images[:LINKED], captions[:LINKED], strict=True):
        axes.plot([x0, x1], [y0, y1], color=style.INK, linewidth=0.4, alpha=0.6, marker="", zorder=3)
    for k, (points, name) in enumerate(zip((images, captions), NAMES, strict=True)):
        look, face = style.series(k, False), {"facecolors": "none", "linewidths": 0.6} if k else {"linewidths": 0}
        axes.scatter(*points.T, s=7, color=look["color"], marker=look["marker"], label=name, zorder=2 - k, **face)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)


class Ranked(NamedTuple):
    """A query and its nearest candidates, the best first, each with whether it is a true partner.

    Images as `style.picture` takes them.
    """

    query: Any
    found: Sequence[tuple[Any, bool]]


def examples_figure(to_text: Sequence[Ranked], to_image: Sequence[Ranked], title: str) -> Figure:
    """Images with the captions that are found for them; captions with the images that are found for them."""
    with style.paper():
        lines = max(len(to_text), len(to_image))
        widest = max((len(item.found) for item in to_image), default=0)
        figure, panels = style.new(
            lines, 3 + widest, 7.2, 0.95 * lines + 0.3, width_ratios=[1, 2.6, 1.9, *[1] * widest]
        )  # fmt: skip
        for axes in panels.flat:
            axes.set_axis_off()
        for line, item in zip(panels, to_text, strict=False):
            style.picture(line[0], item.query)
            _captions(line[1], item.found)
        for line, item in zip(panels, to_image, strict=False):
            line[2].text(0.05, 0.5, style.fold(item.query, 24, 4), va="center", fontsize=6, transform=line[2].transAxes)
            for axes, (picture, right) in zip(line[3:], item.found, strict=False):
                style.picture(axes, picture)
                if right:
                    _frame(axes)
        panels[0, 0].set_title("image to text", fontsize=7)
        panels[0, 2].set_title(style.fold(f"text to image  ({title})", 60), fontsize=7)
    return figure


def _captions(axes: Axes, found: Sequence[tuple[str, bool]]) -> None:
    """Captions below one another, true partners in green with a tick."""
    for k, (text, right) in enumerate(found):
        words = style.fold(f"{'✓' if right else '–'} {text}", 42, 2, indent="   ")
        colour = RIGHT if right else style.GREY
        axes.text(0, 0.98 - k / len(found), words, va="top", fontsize=5.8, color=colour, transform=axes.transAxes)


def _frame(axes: Axes) -> None:
    """A green frame around a picture."""
    axes.set_axis_on()
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=RIGHT, linewidth=1.6)


def nearest(
    u: np.ndarray, v: np.ndarray, owner: np.ndarray, images: Sequence[int], texts: Sequence[int], count: int
) -> tuple[list[list[tuple[int, bool]]], list[list[tuple[int, bool]]]]:
    """The nearest candidates of some queries: [(row, true partner?)] of captions for images, of images for captions.

    u [n, e], v [m, e]: compared by products.  owner [m]: the image that each caption is of.
    """
    to_text = [[(int(j), bool(owner[j] == i)) for j in np.argsort(-(v @ u[i]), kind="stable")[:count]] for i in images]
    to_image = [[(int(i), bool(owner[j] == i)) for i in np.argsort(-(u @ v[j]), kind="stable")[:count]] for j in texts]
    return to_text, to_image


def of_rows(found: Sequence[Sequence[tuple[int, bool]]], items: Mapping[int, Any] | Sequence[Any]) -> list[list]:
    """Candidates as what they are, from their rows."""
    return [[(items[row], right) for row, right in one] for one in found]
