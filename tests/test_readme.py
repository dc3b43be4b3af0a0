"""The README's Python is run as it stands: a promise to users is a test."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ngw.methods import Method

README = Path(__file__).parents[1] / "README.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def rotated(n: int = 60, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A cloud and its rotation, paired by row."""
    stream = np.random.default_rng(0)
    x = stream.standard_normal((n, d)).astype(np.float32)
    return x, (x @ np.linalg.qr(stream.standard_normal((d, d)))[0]).astype(np.float32)


def test_align_your_own_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = rotated()
    pairs = np.stack([np.arange(20), np.arange(20)], axis=1)
    names = {"x": x, "y": y, "z": y, "pairs": pairs, "x_new": x[40:], "y_new": y[40:]}
    (code,) = [block for block in blocks() if "ngw.Warp" in block]
    exec(code, names)
    assert (tmp_path / "warp.safetensors").is_file()
    assert names["plan"].converged
    assert ((names["u"] @ names["v"].T).argmax(1) == np.arange(20)).all()


def test_the_baseline_is_a_method_that_recovers_a_rotation():
    names: dict = {"__name__": "least_squares"}
    (code,) = [block for block in blocks() if "LeastSquares" in block]
    assert len(code.splitlines()) <= 30
    exec(code, names)
    x, y = rotated()
    method = names["LeastSquares"]().fit(x, y, np.arange(40))
    assert isinstance(method, Method)
    np.testing.assert_allclose(method.transform(x[40:]), y[40:], atol=1e-3)
    np.testing.assert_allclose(method.inverse_transform(y[40:]), x[40:], atol=1e-3)
