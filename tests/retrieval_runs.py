"""Records and ranks of a small table, whose numbers can be checked by hand."""

from __future__ import annotations

import numpy as np

from ngw.metrics.retrieval import summary
from ngw.report.records import cell
from ngw.report.tables import retrieval

PAIR = ("scenes", "effnet-lite0", "minilm-l6")
IMAGES = np.array([11, 22, 33, 44])
CAPTIONS = np.repeat(IMAGES, 2)
# Ranks by hand. R@1 is 3/4 and 5/8 for GOOD, 2/4 and 4/8 for FAIR, 0 for BAD.
GOOD = ([1, 1, 1, 2], [1, 1, 1, 1, 1, 2, 2, 7])
FAIR = ([1, 1, 2, 6], [1, 1, 1, 1, 2, 2, 3, 8])
BAD = ([4, 5, 6, 7], [2, 2, 3, 3, 4, 4, 4, 4])


def run(method, pairs, seed, ranks, role="method", **changes):
    """A record and its prediction table."""
    i2t, t2i = (np.array(part, float) for part in ranks)
    record = {
        "dataset": PAIR[0], "vision": PAIR[1], "text": PAIR[2], "method": method, "kind": method, "role": role,
        "seed": seed, "pairs": pairs, "unpaired": "none",
        "task": "retrieval", "task_version": 1, "n_images": 4, "n_captions": 8,
        "converged": True, "note": "", "version": "0.1.0", "metrics": summary(i2t, t2i),
        "cost": {"train_seconds": 1.5 + seed, "peak_memory_mb": 100.0, "parameters": 1234567},
    } | changes  # fmt: skip
    table = {
        "direction": ["i2t"] * 4 + ["t2i"] * 8,
        "image_id": [*IMAGES.tolist(), *CAPTIONS.tolist()],
        "rank": [*i2t.tolist(), *t2i.tolist()],
    }
    return record, table


def runs():
    """Two methods and a baseline at two budgets, two seeds; a control at 0, one at all; one run not converged."""
    return [
        *(run("ngw", "30", seed, GOOD, converged=seed == 0) for seed in (0, 1)),
        *(run("ngw", "all", seed, GOOD) for seed in (0, 1)),
        *(run("ngw~epsilon=0.1", pairs, seed, (GOOD, FAIR)[seed]) for pairs in ("30", "all") for seed in (0, 1)),
        *(run("cca", pairs, seed, FAIR, "baseline") for pairs in ("30", "all") for seed in (0, 1)),
        *(run("ridge", pairs, seed, BAD, "baseline") for pairs in ("30", "all") for seed in (0, 1)),
        *(run("random", "0", seed, BAD, "control") for seed in (0, 1)),
        *(run("oracle", "all", seed, ([1] * 4, [1] * 8), "control") for seed in (0, 1)),
    ]


def collated():
    """The rows of their csv."""
    ranks = {cell(record): table for record, table in runs()}
    records = [record for record, _ in runs()]
    return retrieval.rows(records, retrieval.samples(records, ranks, draws=200))


def find(rows, method, pairs, metric):
    (row,) = rows.query("method == @method and pairs == @pairs and metric == @metric").to_dict("records")
    return row
