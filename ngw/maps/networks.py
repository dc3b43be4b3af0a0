"""The maps' architectures, as plain arrays: one forward pass serves NumPy (to apply) and torch (to train)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

ARCHITECTURES = ("linear", "mlp", "residual")


def init(
    arch: str, d_in: int, d_out: int, hidden: int, stream: np.random.Generator, linear: tuple | None = None
) -> dict[str, np.ndarray]:
    """Parameters of a map. linear: (w [d_in, d_out], b [d_out]), where the linear part starts.

    "linear": x w + b.  "mlp": relu(relu(x w1 + b1) w2 + b2) w3 + b3, He initialisation.
    "residual": their sum, whose mlp starts at zero output, so that training starts from the linear map.
    """
    if arch not in ARCHITECTURES:
        raise ValueError(f"map is one of {', '.join(ARCHITECTURES)}, not {arch!r}")
    p: dict[str, np.ndarray] = {}
    if arch != "mlp":
        w, b = linear if linear is not None else (np.zeros((d_in, d_out)), np.zeros(d_out))
        p |= {"w": w, "b": b}
    if arch != "linear":
        sizes = [(d_in, hidden), (hidden, hidden), (hidden, d_out)]
        for i, (rows, columns) in enumerate(sizes, 1):
            p[f"w{i}"] = stream.standard_normal((rows, columns)) * np.sqrt(2 / rows)
            p[f"b{i}"] = np.zeros(columns)
        if arch == "residual":
            p["w3"] = np.zeros((hidden, d_out))
    return {name: np.ascontiguousarray(value, np.float32) for name, value in p.items()}


def apply(p: Mapping[str, Any], x: Any) -> Any:
    """The map's output [n, d_out] for x [n, d_in]; arrays or tensors. Its parameters' names tell the architecture."""
    out = x @ p["w"] + p["b"] if "w" in p else 0
    if "w1" in p:
        h = _relu(x @ p["w1"] + p["b1"])
        h = _relu(h @ p["w2"] + p["b2"])
        out = out + (h @ p["w3"] + p["b3"])
    return out


def _relu(h: Any) -> Any:
    return h * (h > 0)
