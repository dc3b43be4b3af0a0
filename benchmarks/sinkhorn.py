"""Entropic transport side by side: time to equal accuracy, peak memory, error of the projection; ours and its peers.

    python benchmarks/sinkhorn.py --size small                      (5 minutes; writes results/benchmarks-sinkhorn)
    python benchmarks/sinkhorn.py --size full --output DIRECTORY    (hours, most of them the peers')

Every solve runs in a fresh process with one thread (`--threads`).  Seconds are processor time, medians over repeats,
from features to projection; memory is the growth of the resident set's peak over the data (from /proc, so on Linux).
Errors are measured alike for all, in float64: the L1 of both marginals from the potentials, and the projection against
that of a solution to 1e-8.  A peer that is not installed is named and left out.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import solvers

TOL, DIMENSION, POT, REFERENCE = 1e-4, 384, "POT sinkhorn (numpy f64)", "reference"
OURS, RIVAL = ["ngw dense", "ngw mixed, 160 MB kernel", "ngw streamed"], ["ngw dense", "ngw streamed", POT]
# (n, epsilon in units of the mean cost, solvers, repeats)
SIZES = {
    "tiny": [(200, 0.05, RIVAL, 1)],
    "small": [
        (1000, 0.05, list(solvers.SOLVERS), 1),
        *((4000, e, RIVAL, 3) for e in (0.05, 0.01)),
    ],
    "full": [
        *((2000, e, list(solvers.SOLVERS), 1) for e in (0.05, 0.01)),
        *((5000, e, [*OURS, POT], 3) for e in (0.05, 0.01)),
        *((10_000, e, [*OURS, POT], 3) for e in (0.05, 0.01)),
        (20_000, 0.05, OURS, 1),
        (40_000, 0.05, ["ngw streamed"], 1),
    ],
}
COLUMNS = [
    "n",
    "epsilon",
    "solver",
    "n_iter",
    "cpu_s",
    "wall_s",
    "peak_mb",
    "l1",
    "projection_error",
    "floor_s",
    "note",
]


def clouds(n: int, d: int = DIMENSION, seed: int = 0, classes: int = 80, latent: int = 48) -> list[np.ndarray]:
    """Two encoders' views of samples of one latent mixture: centred, power-law spectrum, different samples [n, d]."""
    random = np.random.default_rng(seed)
    centres, share = 1.6 * random.normal(size=(classes, latent)), random.dirichlet(np.full(classes, 2.0))
    width = 512
    hidden, bias = random.normal(size=(latent, width)) / latent**0.5, random.normal(size=width) / 2
    spectrum = (1 + np.arange(width)) ** -0.5
    output = spectrum[:, None] * np.linalg.qr(random.normal(size=(width, width)))[0][:, :d]
    views = [(1.2 * hidden, output)]
    other = random.normal(size=hidden.shape) / latent**0.5
    views.append((1.2 * (0.55 * hidden + 0.835 * other), 0.55 * output + 0.45 * random.permutation(output)))
    out = []
    for inner, outer in views:
        z = centres[random.choice(classes, n, p=share)] + 0.7 * random.normal(size=(n, latent))
        features = np.maximum(z @ inner + bias, 0) @ outer
        features += 0.15 * features.std() * random.normal(size=features.shape)
        features -= features.mean(0)
        out.append(features / np.sqrt((features**2).sum(1).mean()))
    return out


def resident_mb(field: str) -> float:
    """VmRSS (now) or VmHWM (the peak since it was last reset) of this process, in MB (1e6 bytes)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1.024e-3 * int(line.split()[1]) for line in lines if line.startswith(field))


def work(name: str, n: int, epsilon: float, repeats: int, folder: Path) -> dict:
    """One solver's record on one problem, in this process.  The reference saves its projection, the others read it."""
    solve = solvers.REFERENCE if name == REFERENCE else solvers.SOLVERS[name]
    tol = 1e-8 if name == REFERENCE else TOL
    small, (x, y) = clouds(200), clouds(n)
    extra = [solvers.pot_threshold] if getattr(solve, "needs_threshold", False) else []
    unit = epsilon * solvers.mean_cost(x, y)
    solve(*small, unit, tol, *[f(*small, unit, tol) for f in extra])  # imports, compilation
    given = [f(x, y, unit, tol) for f in extra]
    ctypes.CDLL(None).malloc_trim(0)  # what making the data left behind would hide a part of the growth
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    before, times = resident_mb("VmRSS"), []
    for k in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        result = solve(x, y, unit, tol, *given)
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
        peak = resident_mb("VmHWM") - before if k == 0 else peak  # noqa: F821
    saved = folder / f"{n}-{epsilon}.npy"
    if name == REFERENCE:
        np.save(saved, result["projection"])
    error = None
    if saved.exists():
        exact = np.load(saved)
        error = float(np.linalg.norm(result["projection"] - exact) / np.linalg.norm(exact))
    cpu, wall = np.median(times, axis=0)
    l1 = solvers.marginal_error(x, y, result["f"], result["g"], unit)
    record = {"n": n, "epsilon": epsilon, "solver": name, "n_iter": result["n_iter"], "cpu_s": cpu, "wall_s": wall}
    return record | {"peak_mb": peak, "l1": l1, "projection_error": error, "note": result.get("note", "")}


def measure(name: str, n: int, epsilon: float, repeats: int, folder: Path, threads: int, limit: float) -> dict:
    """The same in a fresh process; what could not be measured says why in `note`."""
    numbers = {f"{k}_NUM_THREADS": str(threads) for k in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
    xla = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()} intra_op_parallelism_threads={threads}"
    command = [sys.executable, __file__, "--work", name, str(n), str(epsilon), str(repeats), str(folder)]
    empty = {"n": n, "epsilon": epsilon, "solver": name}
    try:
        done = subprocess.run(
            command, env=os.environ | numbers | {"XLA_FLAGS": xla}, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return empty | {"note": f"not finished in {limit:.0f} s"}
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        missing = reason.startswith(("ModuleNotFoundError", "ImportError"))
        return empty | {"note": f"not installed: {reason}" if missing else f"failed: {reason}"}
    return json.loads(done.stdout.splitlines()[-1])


def rates(size: int = 4096) -> dict:
    """This machine's float32 rates, best of 3: matrix products (flop/s) and matrix-vector products (byte/s)."""
    left, right = np.ones((1024, 386), np.float32), np.ones((386, size), np.float32)
    matrix, vector = np.ones((8 * size, size), np.float32), np.ones(size, np.float32)

    def best(function):
        spent = []
        for _ in range(4):
            start = time.process_time()
            function()
            spent.append(time.process_time() - start)
        return min(spent[1:])

    return {
        "flop_s": 2 * 1024 * 386 * size / best(lambda: left @ right),
        "byte_s": matrix.nbytes / best(lambda: matrix @ vector),
    }


def floor_seconds(record: dict, rate: dict) -> float | None:
    """Our least possible time: dense, two matrix products and one reading of K a pass; streamed, matrix products."""
    if record["solver"] not in ("ngw dense", "ngw streamed") or not record.get("n_iter"):
        return None
    product = 2 * record["n"] ** 2 * (DIMENSION + 2) / rate["flop_s"]
    if record["solver"] == "ngw dense":
        return 2 * product + record["n_iter"] * 4 * record["n"] ** 2 / rate["byte_s"]
    return (record["n_iter"] + 2) * product


def table(records: list[dict]) -> str:
    """Markdown: one table a problem, with the speed against POT's `ot.sinkhorn` there."""
    lines = []
    for n, epsilon in dict.fromkeys((r["n"], r["epsilon"]) for r in records):
        rows = [r for r in records if (r["n"], r["epsilon"]) == (n, epsilon)]
        base = next((r.get("cpu_s") for r in rows if r["solver"] == POT), None)
        lines += [f"\n**N = {n}, epsilon {epsilon}, L1 tol {TOL:g}**\n"]
        lines += [
            "| solver | passes | CPU s | wall s | times POT's speed | peak MB | L1 | projection error | of floor |"
        ]
        lines += ["|---|---|---|---|---|---|---|---|---|"]
        for r in sorted(rows, key=lambda r: r.get("cpu_s") or np.inf):
            if "cpu_s" not in r:
                lines.append(f"| {r['solver']} | {r['note']} | | | | | | | |")
                continue
            speed = f"{base / r['cpu_s']:.2f}" if base else ""
            part = f"{r['cpu_s'] / r['floor_s']:.2f}" if r.get("floor_s") else ""
            error = "" if r["projection_error"] is None else f"{r['projection_error']:.1e}"
            numbers = f"{r['n_iter'] or '-'} | {r['cpu_s']:.2f} | {r['wall_s']:.2f} | {speed} | {r['peak_mb']:.0f}"
            lines.append(f"| {r['solver']} | {numbers} | {r['l1']:.1e} | {error} | {part} |")
    return "\n".join(lines) + "\n"


def figure(records: list[dict], path: Path) -> None:
    """Left: time and memory of the first problem, which all solvers saw.  Right: how ours and POT's time grows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    timed = [r for r in records if "cpu_s" in r]
    canvas, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5))
    n, epsilon = timed[0]["n"], timed[0]["epsilon"]
    for r in (r for r in timed if (r["n"], r["epsilon"]) == (n, epsilon)):
        left.loglog(r["cpu_s"], r["peak_mb"], "o" if r["l1"] <= 1.2 * TOL else "x")
        left.annotate(r["solver"], (r["cpu_s"], r["peak_mb"]), fontsize=7, xytext=(4, 2), textcoords="offset points")
    left.set(xlabel="CPU seconds", ylabel="peak MB", title=f"N = {n}, epsilon {epsilon} (x: did not reach tol)")
    for name in (*OURS, POT):
        points = sorted((r["n"], r["cpu_s"]) for r in timed if r["solver"] == name and r["epsilon"] == epsilon)
        if points:
            right.loglog(*zip(*points, strict=True), "o-", label=name)
    right.set(xlabel="N", ylabel="CPU seconds", title=f"epsilon {epsilon}, d = {DIMENSION}")
    right.legend(fontsize=8)
    canvas.tight_layout()
    canvas.savefig(path, dpi=150)


def write(records: list[dict], rate: dict, folder: Path) -> str:
    """csv, markdown and figure of what has been measured so far."""
    text = f"One core: {rate['flop_s'] / 1e9:.0f} GFLOP/s (float32 products), {rate['byte_s'] / 1e9:.1f} GB/s.\n"
    text += table(records)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "sinkhorn.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(records)
    (folder / "sinkhorn.md").write_text(text)
    if any("cpu_s" in r for r in records):
        figure(records, folder / "sinkhorn.png")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks-sinkhorn"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], help="solvers whose name holds one of these words")
    parser.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        name, n, epsilon, repeats, folder = arguments.work
        print(json.dumps(work(name, int(n), float(epsilon), int(repeats), Path(folder))))
        return
    limit, records = 1800.0 if arguments.size == "full" else 30.0, []
    rate = rates(512 if arguments.size == "tiny" else 4096)
    with tempfile.TemporaryDirectory() as scratch:
        for n, epsilon, names, repeats in SIZES[arguments.size]:
            if n <= 10_000:
                measure(REFERENCE, n, epsilon, 1, Path(scratch), arguments.threads, 10 * limit)
            for name in names:
                if arguments.only and not any(word in name for word in arguments.only):
                    continue
                record = measure(name, n, epsilon, repeats, Path(scratch), arguments.threads, limit)
                records.append(record | {"floor_s": floor_seconds(record, rate)})
                print(json.dumps(records[-1]), file=sys.stderr, flush=True)
                text = write(records, rate, arguments.output)  # after each, so that a long run can be cut short
    print(text)


if __name__ == "__main__":
    main()
