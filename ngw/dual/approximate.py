"""Approximate search, on request: faiss's graph of near neighbours, built in memory."""

from __future__ import annotations

import numpy as np

from ngw.errors import InputError

LINKS, BREADTH = 32, 128  # of the graph (Malkov and Yashunin 2018: M, and ef while it is built and searched)


class Approximate:
    """`Index.nearest` by a graph: most of the best rows, in a fraction of the time."""

    def __init__(self, vectors: np.ndarray) -> None:
        try:
            import faiss
        except ModuleNotFoundError:
            raise InputError(
                "--approximate: expected the package faiss, found none; pip install 'ngw[approximate]', or leave "
                "--approximate out: exact search needs nothing more."
            ) from None
        self.graph = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        self.graph.hnsw.efConstruction = self.graph.hnsw.efSearch = BREADTH
        self.graph.add(np.ascontiguousarray(vectors))

    def nearest(self, queries: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        """(rows int [q, k], scores float32 [q, k]) of the `top` best that the graph leads to, best first."""
        k = min(top, self.graph.ntotal)
        self.graph.hnsw.efSearch = max(BREADTH, 2 * k)
        scores, rows = self.graph.search(np.ascontiguousarray(queries), k)
        return rows, scores
