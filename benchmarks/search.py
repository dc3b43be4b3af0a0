"""Searching an index of pictures side by side: ngw's exact search, faiss, usearch; and indexing against the encoder.

    python benchmarks/search.py --size full --output search.json

Every contender runs in a process of its own with one thread, and alternates there with one product of the vectors and a
query, which exact search always needs, so the ratio doesn't depend on the machine's load. Seconds are processor time,
medians over the repeats. Memory is the growth of the resident set's peak over the vectors (from /proc, so on Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ranking import peak_mb

TOP, BATCH = 12, 16
# Vectors and width; repeats; pictures that are indexed.
SIZES = {
    "tiny": ([(300, 16)], 1, 4),
    "small": ([(10_000, 1156)], 5, 64),
    "full": ([(10_000, 1156), (1_000_000, 1156)], 3, 256),
}
Search = Callable[[np.ndarray], np.ndarray]


def problem(n: int, e: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors [n, e] in a thousand clusters, as pictures have, and queries near some of them."""
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((1000, e), np.float32)
    vectors = np.empty((n, e), np.float32)
    for start in range(0, n, 10_000):
        part = vectors[start : start + 10_000]
        part[:] = draw.standard_normal(part.shape, np.float32) + centres[draw.integers(0, 1000, len(part))]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    queries = vectors[draw.integers(0, n, BATCH)] + draw.standard_normal((BATCH, e), np.float32) / np.float32(e**0.5)
    return vectors, queries / np.linalg.norm(queries, axis=1, keepdims=True)


def exact(vectors: np.ndarray) -> Search:
    """ngw.dual.index.Index.nearest."""
    from ngw.dual.index import Index

    none = np.empty(0, np.int64)
    index = Index("", "", "", [""] * len(vectors), none, none, vectors)
    return lambda queries: index.nearest(queries, TOP)[0]


def half(vectors: np.ndarray) -> Search:
    """Exact search in vectors kept in 16 bits, converted to 32 block by block."""
    small = vectors.astype(np.float16)

    def search(queries: np.ndarray) -> np.ndarray:
        blocks = (small[start : start + 4096].astype(np.float32) @ queries.T for start in range(0, len(small), 4096))
        scores = np.concatenate(list(blocks))
        best = np.argpartition(-scores, TOP, axis=0)[:TOP]
        return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 0), axis=0), 0).T

    return search


def faiss_flat(vectors: np.ndarray) -> Search:
    """faiss IndexFlatIP, exact."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return lambda queries: index.search(queries, TOP)[1]


def usearch_exact(vectors: np.ndarray) -> Search:
    """usearch's exact search."""
    from usearch.index import MetricKind, search

    return lambda queries: np.atleast_2d(search(vectors, queries, TOP, MetricKind.IP, exact=True, threads=1).keys)


def graph(vectors: np.ndarray) -> Search:
    """ngw.dual.approximate, faiss's graph of neighbours."""
    import faiss

    from ngw.dual.approximate import Approximate

    faiss.omp_set_num_threads(1)
    index = Approximate(vectors)
    return lambda queries: index.nearest(queries, TOP)[0]


# name: (its constructor, the most vectors it is tried on)
CONTENDERS: dict[str, tuple[Callable[[np.ndarray], Search], int]] = {
    "ngw, exact": (exact, 10**9),
    "ngw in 16 bits": (half, 10**9),
    "faiss IndexFlatIP": (faiss_flat, 10**9),
    "usearch, exact": (usearch_exact, 10**9),
    "ngw --approximate (faiss)": (graph, 10**4),
}


def timed(function: Callable[[], object]) -> float:
    """Processor seconds of a call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def measure(name: str, n: int, e: int, repeats: int) -> dict:
    """Run in the child: one contender, and the product in turn with it."""
    vectors, queries = problem(n, e)
    before = peak_mb(reset=True)
    start = time.process_time()
    try:
        search = CONTENDERS[name][0](vectors)
    except ModuleNotFoundError as error:
        return {"name": name, "missing": error.name}
    except ValueError as error:  # ngw's own message
        return {"name": name, "missing": str(error).split(",")[0]}
    build, found = time.process_time() - start, search(queries)
    one, many, floor = [], [], []
    for k in range(repeats):
        query = queries[k : k + 1]
        one.append(timed(lambda query=query: search(query)))
        floor.append(timed(lambda query=query: vectors @ query[0]))
        many.append(timed(lambda: search(queries)) / len(queries))
    extra = peak_mb() - before
    wanted = exact(vectors)(queries)
    same = np.mean([len(set(a) & set(b)) / TOP for a, b in zip(found.tolist(), wanted.tolist(), strict=True)])
    times = {"one": statistics.median(one), "many": statistics.median(many), "floor": statistics.median(floor)}
    order = float((found == wanted).all(1).mean())
    return {"name": name, **times, "build": build, "extra_mb": extra, "found": float(same), "same_order": order}


def child(*options: object) -> dict:
    """A measurement in a process of its own, with one thread."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    command = [sys.executable, __file__, "--child", *map(str, options)]
    done = subprocess.run(command, env=os.environ | threads, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def line(result: dict) -> str:
    """A result as a line of the table."""
    if "missing" in result:
        return f"| {result['name']} | not there: {result['missing']} | | | | | | |"
    one, many, floor = (1000 * result[key] for key in ("one", "many", "floor"))
    times = f"{one:.2f} | {one / floor:.2f} | {1000 / one:,.0f} | {1000 / many:,.0f}"
    shares = f"{100 * result['found']:.1f} / {100 * result['same_order']:.1f}"
    return f"| {result['name']} | {times} | {result['build']:.1f} | {result['extra_mb']:,.0f} | {shares} |"


def indexing(pictures: int) -> dict:
    """Pictures a processor second: the encoder alone, in batches of 32, and an index with reading and writing."""
    from PIL import Image

    from ngw.dual import index as indices
    from ngw.dual.encoder import DualEncoder
    from ngw.methods import build

    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "photos")
        folder.mkdir()
        for k in range(pictures):
            noise = Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).resize((640, 480), 3)
            noise.save(folder / f"{k:05}.jpg", quality=90)
        x, y = draw.standard_normal((40, 1280)), draw.standard_normal((40, 384))
        model = DualEncoder("effnet-lite0", "minilm-l6", build({"kind": "ridge"}).fit(x, y, np.arange(40)))
        model.save(Path(place, "model"))
        paths = [str(path) for path in sorted(folder.iterdir())]
        model.encode_image(paths[:2])
        os.environ["NGW_CACHE"] = str(Path(place, "cache"))
        bare = timed(lambda: [model.vision.encode(paths[k : k + 32]) for k in range(0, len(paths), 32)])
        quiet = {"say": lambda text: None}
        full = timed(lambda: indices.update(Path(place, "p.index"), folder, model, Path(place, "model"), **quiet))
        again = timed(lambda: indices.update(Path(place, "p.index"), folder, model, Path(place, "model"), **quiet))
    return {"bare": pictures / bare, "index": pictures / full, "again": again, "pictures": pictures}


def main() -> None:
    """Parse, compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--output", type=Path, help="write the numbers as JSON")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, *numbers = arguments.child
        call = indexing if name == "indexing" else lambda *rest: measure(name, *rest)
        print(json.dumps(call(*map(int, numbers))))
        return
    sizes, repeats, pictures = SIZES[arguments.size]
    results: dict = {"size": arguments.size}
    for n, e in sizes:
        print(f"\n{n:,} vectors of {e:,} numbers, the {TOP} best, one thread; {n * e * 4 / 2**20:,.0f} MB of vectors\n")
        print("| | ms a query | of one product | queries a s | in batches | build s | extra MB | same best / order % |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|")
        rows = results[str(n)] = []
        for name in (name for name, (_, most) in CONTENDERS.items() if n <= most):
            rows.append(child(name, n, e, repeats))
            print(line(rows[-1]), flush=True)
    found = results["indexing"] = child("indexing", pictures)
    print(
        f"\n{found['pictures']:,} pictures: {found['index']:.1f} a processor second by index, {found['bare']:.1f} "
        f"by the encoder alone (ratio {found['index'] / found['bare']:.2f}); {found['again']:.2f} s if nothing is new"
    )
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
