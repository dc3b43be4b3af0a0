"""Error against time, and the time at which a solver passes a level: csv, markdown and a figure, a panel a problem."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

BASE = "POT sinkhorn"
BEST = ["ngw", "ngw, streamed", BASE, "regot SPLR", "mdot-tnt", "ott-jax, Anderson 5"]
LEVELS = [1e-2, 1e-4, 1e-6, 1e-9]
COLUMNS = ["n", "d", "epsilon", "solver", "tol", "n_iter", "seconds", "peak_mb", "l1", "projection_error", "note"]


def crossing(points: list[tuple[float, float]], level: float) -> float | None:
    """The time at which an error passes a level; points: (seconds, error) of a solver's runs, as `points` gives them.

    Between the runs on both sides of the level, the error's logarithm is interpolated linearly in time.
    """
    k = next((k for k, (_, error) in enumerate(points) if error <= level), None)
    if k is None:
        return None
    (after, low), (before, high) = points[k], points[max(k - 1, 0)]
    return after if k == 0 or low <= 0 else before + (after - before) * math.log(high / level) / math.log(high / low)


def problems(records: list[dict]) -> dict[tuple, dict[str, list[dict]]]:
    """{(n, d, epsilon): {solver: its records}}."""
    out: dict[tuple, dict[str, list[dict]]] = {}
    for r in records:
        out.setdefault((r["n"], r["d"], r["epsilon"]), {}).setdefault(r["solver"], []).append(r)
    return out


def judged(record: dict) -> bool:
    """Whether a run's marginals were judged, and are numbers."""
    return math.isfinite(math.nan if record.get("l1") is None else record["l1"])


def points(runs: list[dict]) -> list[tuple[float, float]]:
    """(seconds, error) of the runs with an error, without runs that a faster one beats."""
    front: list[tuple[float, float]] = []
    for seconds, error in sorted((r["seconds"], r["l1"]) for r in runs if judged(r)):
        if not front or error < front[-1][1]:
            front.append((seconds, error))
    return front


def table(records: list[dict]) -> str:
    """Markdown: a table a problem, the solvers in the order of their time to 1e-4."""
    lines = []
    for (n, d, epsilon), solvers in problems(records).items():
        lines += [f"\n**{n} points a side, {d} dimensions, epsilon {epsilon}**\n"]
        lines += [
            "| solver | "
            + " | ".join(f"s to {z:g}" for z in LEVELS)
            + " | times POT's speed | peak MB | error of the projection | |"
        ]
        lines += ["| --- | " + "---: | " * (len(LEVELS) + 3) + "--- |"]
        times = {name: [crossing(points(runs), z) for z in LEVELS] for name, runs in solvers.items()}
        base = times.get(BASE, [None] * len(LEVELS))[1]
        for name in sorted(times, key=lambda z: [math.inf if t is None else t for t in (times[z][1], times[z][0])]):
            measured = [r for r in solvers[name] if "seconds" in r]
            seconds = ["–" if t is None else f"{t:.3g}" for t in times[name]]
            speed = f"{base / times[name][1]:.2f}" if base and times[name][1] else "–"
            near = next((r for r in measured if r["tol"] <= 1.1e-4), measured[-1] if measured else {})
            errors = [near.get("peak_mb"), near.get("projection_error")]
            errors = ["–" if e is None else f"{e:.2g}" if e < 1 else f"{e:.0f}" for e in errors]
            lines.append(f"| {name} | {' | '.join([*seconds, speed, *errors])} | {solvers[name][-1]['note']} |")
    return "\n".join(lines) + "\n"


def figure(records: list[dict]) -> bytes:
    """A panel a problem: L1 error of the marginals over seconds, a line a solver; a png of few colours."""
    from matplotlib.ticker import NullFormatter
    from PIL import Image

    from ngw.report import style

    found = problems(records)
    names = list(dict.fromkeys(r["solver"] for r in records if judged(r)))
    looks = {name: style.series(k, name.startswith("ngw")) for k, name in enumerate(names)}
    with style.paper():
        columns = min(3, len(found))
        lines = -(-len(found) // columns)
        picture, panels = style.new(lines, columns, 2.4 * columns + 0.4, 2.1 * lines + 0.9, sharey=True)
        for axes, ((n, d, epsilon), solvers) in zip(panels.flat, found.items(), strict=False):
            for name, runs in solvers.items():
                if name in looks:
                    axes.plot(*zip(*points(runs), strict=True), **looks[name])
            style.logarithmic(axes.xaxis)
            style.logarithmic(axes.yaxis)
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set(title=f"n {n:,}, d {d}, ε {epsilon:g}", ylim=(3e-10, 1))
        for axes in panels.flat[len(found) :]:
            axes.set_visible(False)
        for axes in panels[:, 0]:
            axes.set_ylabel("L1 error of the marginals")
        for axes in panels.flat[max(0, len(found) - columns) : len(found)]:
            axes.set_xlabel("seconds")
        picture.legend([style.line(**looks[z]) for z in names], names, loc="outside lower center", ncols=4)
        image = Image.open(io.BytesIO(style.encode(picture, "png"))).convert("RGB").quantize(128)
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def write(records: list[dict], folder: Path) -> None:
    """Write csv, markdown and figure of the records so far."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "sinkhorn.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(records)
    (folder / "sinkhorn.md").write_text(table(records))
    if any(judged(r) for r in records):
        (folder / "sinkhorn.png").write_bytes(figure(records))
