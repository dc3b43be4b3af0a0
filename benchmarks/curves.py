"""Error against time: when a solver passes a level, as csv, as markdown and as a figure, a panel a problem."""

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
    """The time at which an error passes a level; points: (seconds, error) of a solver's runs.

    Between the runs on both sides of the level, on the straight line of the error's logarithm over time.
    """
    above = [p for p in points if p[1] > level]
    below = [p for p in points if p[1] <= level]
    if not below:
        return None
    after = min(below)
    before = max((p for p in above if p[0] < after[0]), default=None)
    if before is None or after[1] <= 0:
        return after[0]
    share = math.log(before[1] / level) / math.log(before[1] / after[1])
    return before[0] + share * (after[0] - before[0])


def problems(records: list[dict]) -> dict[tuple, dict[str, list[dict]]]:
    """(n, d, epsilon): solver: its records."""
    out: dict[tuple, dict[str, list[dict]]] = {}
    for r in records:
        out.setdefault((r["n"], r["d"], r["epsilon"]), {}).setdefault(r["solver"], []).append(r)
    return out


def points(runs: list[dict]) -> list[tuple[float, float]]:
    return [(r["seconds"], r["l1"]) for r in runs if r.get("l1") is not None and r["l1"] == r["l1"]]


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
    from PIL import Image

    from ngw.report import style

    found = problems(records)
    names = list(dict.fromkeys(r["solver"] for r in records if r.get("l1") is not None))
    looks = {name: style.series(k, name.startswith("ngw")) for k, name in enumerate(names)}
    with style.paper():
        columns = min(3, len(found))
        lines = -(-len(found) // columns)
        picture, panels = style.new(lines, columns, 2.4 * columns + 0.4, 2.1 * lines + 0.9, sharey=True)
        for axes, ((n, d, epsilon), solvers) in zip(panels.flat, found.items(), strict=False):
            for name, runs in solvers.items():
                if name in looks:
                    axes.plot(*zip(*sorted(points(runs)), strict=True), label=name, **looks[name])
            style.logarithmic(axes.xaxis)
            style.logarithmic(axes.yaxis)
            axes.set(title=f"n {n:,}, d {d}, ε {epsilon:g}", ylim=(3e-10, 0.5))
        for axes in panels.flat[len(found) :]:
            axes.set_visible(False)
        for axes in panels[:, 0]:
            axes.set_ylabel("L1 error of the marginals")
        for axes in panels.flat[max(0, len(found) - columns) : len(found)]:
            axes.set_xlabel("seconds")
        picture.legend([style.line(**looks[z]) for z in names], names, loc="outside lower center", ncols=4)
        image = Image.open(io.BytesIO(style.encode(picture, "png"))).convert("RGB").quantize(48)
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    return buffer.getvalue()


def write(records: list[dict], folder: Path) -> None:
    """csv, markdown and figure of what has been measured so far."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "sinkhorn.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(records)
    (folder / "sinkhorn.md").write_text(table(records))
    if any(r.get("l1") is not None for r in records):
        (folder / "sinkhorn.png").write_bytes(figure(records))
