"""Entropic transport side by side: the marginals' error against time, for ours and its peers.

    python benchmarks/sinkhorn.py --size small                      (a minute, with peers ten)
    python benchmarks/sinkhorn.py --size full --output DIRECTORY    (hours, most of them the peers')

Each solver runs on each problem in a fresh process with one thread (`--threads`), once for each tolerance from
1e-2 to 1e-9, until a run takes longer than `--limit` seconds; a first run to 0.5 (on 1,000 points, if there are more
than 10,000), with imports and compilation, isn't counted.  Seconds are processor time, from features to projection (on
a GPU: by the clock); memory is the growth of the resident set's peak over the data (from /proc, so on Linux).  Errors
are measured alike for all, in float64: the L1 of both marginals from the potentials, and the projection against that of
a solution to 1e-11.  A peer that is not installed (`pip install '.[peers]'`, on a GPU `.[peers-gpu]`) is named and left
out.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import curves
import numpy as np
import problem
import solvers

REFERENCE, REFERENCE_TOL = "reference", 1e-11
TOLS = [10.0**-k for k in range(2, 10)]
EVERY, BEST = list(solvers.SOLVERS), curves.BEST
# (points, dimensions, epsilon in units of the mean cost, solvers)
SIZES = {
    "tiny": [(200, 16, 0.05, BEST[:3])],
    "small": [(1000, 384, e, EVERY) for e in (0.05, 0.01, 0.002)],
    "medium": [
        *((1000, 384, e, EVERY) for e in (0.05, 0.01, 0.002)),
        (3000, 768, 0.01, BEST),
        *((10_000, 384, e, BEST[:4]) for e in (0.05, 0.01)),
    ],
    "large": [(n, 384, 0.05, solvers.BOUNDED) for n in (30_000, 100_000)],  # with --limit 100, for one digit or two
    "full": [
        (n, d, e, EVERY) for n in (1000, 10_000, 30_000, 100_000) for d in (384, 768) for e in (0.05, 0.01, 0.002)
    ],
}


def resident_mb(field: str) -> float:
    """VmRSS (now) or VmHWM (the peak since it was last reset) of this process, in MB (1e6 bytes)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1.024e-3 * int(line.split()[1]) for line in lines if line.startswith(field))


def work(name: str, size: tuple[int, int, float], folder: Path, limit: float) -> None:
    """One solver's records on one problem, a line of JSON each.  The reference saves its projection."""
    n, d, epsilon = size
    solver = solvers.REFERENCE if name == REFERENCE else solvers.SOLVERS[name]
    x, y = problem.clouds(n, d)
    unit, saved = epsilon * problem.mean_cost(x, y), folder / f"{n}-{d}-{epsilon}.npy"
    if name == REFERENCE:
        np.save(saved, solver.solve(x, y, unit, REFERENCE_TOL)["projection"])
        return
    first = len(x) if len(x) <= 10_000 else 1000
    solver.solve(x[:first], y[:first], unit, 0.5)
    for tol in (t for t in TOLS if t >= 0.99 * solver.finest):
        record, result = timed(solver, x, y, unit, tol)
        projection, f, g = result["projection"], result.get("f"), result.get("g")
        if saved.exists():
            exact = np.load(saved)
            record["projection_error"] = float(np.linalg.norm(projection - exact) / np.linalg.norm(exact))
        if "l1" in result or f is not None:
            record["l1"] = result["l1"] if f is None else problem.marginal_error(x, y, f, g, unit)
        record |= {"n_iter": result["n_iter"], "note": result.get("note", "")}
        print(json.dumps({"n": n, "d": d, "epsilon": epsilon, "solver": name, "tol": tol} | record), flush=True)
        if record["seconds"] > limit or (solver.rule and not record.get("l1", 0.0) <= 10 * tol):
            return  # a smaller tolerance would take longer than the limit, or do no better


def timed(solver: solvers.Solver, x: np.ndarray, y: np.ndarray, unit: float, tol: float) -> tuple[dict, dict]:
    """(seconds and peak memory, the result); for a short run the median of three."""
    ctypes.CDLL(None).malloc_trim(0)  # memory freed before would hide a part of the growth
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    before, seconds, clock = resident_mb("VmRSS"), [], time.perf_counter if solver.gpu else time.process_time
    while not seconds or (len(seconds) < 3 and sum(seconds) < 1):
        start = clock()
        result = solver.solve(x, y, unit, tol)
        seconds.append(clock() - start)
    return {"seconds": float(np.median(seconds)), "peak_mb": resident_mb("VmHWM") - before}, result


def measure(name: str, size: tuple, folder: Path, threads: int, limit: float) -> list[dict]:
    """`work` in a fresh process; if it ends early, a last record gives the reason."""
    numbers = {f"{k}_NUM_THREADS": str(threads) for k in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
    numbers["XLA_FLAGS"] = (
        f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()} intra_op_parallelism_threads={threads}"
    )
    command = [sys.executable, __file__, "--work", name, *map(str, size), str(folder), str(limit)]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        try:
            done = subprocess.run(
                command, env=os.environ | numbers, stdout=out, stderr=errors, timeout=30 * limit + 120
            )
            lines = [line for line in _text(errors).splitlines() if line.strip()] or ["no message"]
            missing = lines[-1].startswith(("ModuleNotFoundError", "ImportError"))
            note = f"{'not run' if missing else 'failed'}: {lines[-1][:200]}" if done.returncode else ""
        except subprocess.TimeoutExpired:
            note = "stopped for time"
        records = [json.loads(line) for line in _text(out).splitlines() if line.startswith("{")]
    n, d, epsilon = size
    return records + [{"n": n, "d": d, "epsilon": epsilon, "solver": name, "note": note}] * bool(note)


def _text(file) -> str:
    file.seek(0)
    return file.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--output", type=Path, default=Path("results/benchmarks-sinkhorn"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--limit", type=float, default=4, help="seconds of a run after which a solver's next is left out"
    )
    parser.add_argument("--only", nargs="*", default=[], help="solvers whose name holds one of these words")
    parser.add_argument("--work", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        name, n, d, epsilon, folder, limit = arguments.work
        work(name, (int(n), int(d), float(epsilon)), Path(folder), float(limit))
        return
    records: list[dict] = []
    with tempfile.TemporaryDirectory() as scratch:
        for *size, names in SIZES[arguments.size]:
            chosen = [z for z in names if not arguments.only or any(word in z for word in arguments.only)]
            if size[0] <= 10_000:
                measure(REFERENCE, tuple(size), Path(scratch), arguments.threads, 20 * arguments.limit)
            for name in (z for z in chosen if size[0] <= solvers.SOLVERS[z].largest):
                records += measure(name, tuple(size), Path(scratch), arguments.threads, arguments.limit)
                print(json.dumps(records[-1]), file=sys.stderr, flush=True)
                curves.write(records, arguments.output)  # after each, so that a long run can be cut short
    print((arguments.output / "sinkhorn.md").read_text())


if __name__ == "__main__":
    main()
