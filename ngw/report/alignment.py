"""What alignment looks like: clouds before and after, and the plan of a small sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ngw.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINKED = 40  # pairs that a line joins
NAMES = ("images", "captions")


class Seen(NamedTuple):
    """Test pairs: images x [n, d_x] and one caption each y [n, d_y], unchanged; u, v [n, e]: where they are compared;
    plan [k, k]: the entropic plan between the first k of them there; its rows are images."""

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
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))  # one row, or one feature, has only one axis


def shared_plane(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows [n, e] of one space in the plane in which they agree most: [n, 2] each, by one projection.

    The plane is spanned by the two directions with the largest covariance of u's and v's coordinates.
    """
    u, v = (z / np.linalg.norm(z, axis=1, keepdims=True).clip(1e-12) for z in (u, v))
    u, v = u - u.mean(0), v - v.mean(0)
    across = u.T @ v
    axes = np.linalg.eigh(across + across.T)[1][:, :-3:-1]
    spread = max(float(np.sqrt((np.concatenate([u @ axes, v @ axes]) ** 2).mean())), 1e-12)
    missing = ((0, 0), (0, 2 - axes.shape[1]))
    return np.pad(u @ axes / spread, missing), np.pad(v @ axes / spread, missing)


def clouds_figure(seen: Seen, title: str) -> Figure:
    """Three panels: each cloud in its own plane; both in one plane of the shared space; a new plan of a sample."""
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
        drawn = matrix.imshow(share, cmap="Greys", norm=LogNorm(1e-3, 1, clip=True), interpolation="nearest")
        bar = figure.colorbar(drawn, ax=matrix, shrink=0.8, ticks=[1e-3, 1e-2, 1e-1, 1], format="%g")
        bar.set_label("share of a row's mass")
        bar.minorticks_off()
        matrix.set_title(f"a new plan between {len(share)} pairs")
        matrix.set_xlabel("captions, in the images' order")
        matrix.set_ylabel("images")
        style.bare(matrix)
    return figure


def _clouds(axes: Axes, images: np.ndarray, captions: np.ndarray) -> None:
    """Two clouds [n, 2] with lines between the first true pairs."""
    for (x0, y0), (x1, y1) in zip(images[:LINKED], captions[:LINKED], strict=True):
        axes.plot([x0, x1], [y0, y1], color=style.INK, linewidth=0.4, alpha=0.6, marker="", zorder=3)
    for k, (points, name) in enumerate(zip((images, captions), NAMES, strict=True)):
        look, face = style.series(k, False), {"facecolors": "none", "linewidths": 0.6} if k else {"linewidths": 0}
        axes.scatter(*points.T, s=7, color=look["color"], marker=look["marker"], label=name, zorder=2 - k, **face)
    style.bare(axes)
