"""The Python of the README and of the page on own models is run as it stands: a promise to users is a test."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import ngw
from ngw import data, encoders
from ngw.cli import main
from ngw.methods import Method

README = Path(__file__).parents[1] / "README.md"
OWN_MODELS = README.parent / "docs" / "how-to" / "own-models.md"


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def rotated(n: int = 60, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A cloud and its rotation, paired by row."""
    stream = np.random.default_rng(0)
    x = stream.standard_normal((n, d)).astype(np.float32)
    return x, (x @ np.linalg.qr(stream.standard_normal((d, d)))[0]).astype(np.float32)


def test_align_your_own_models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = rotated()
    pairs = np.stack([np.arange(20), np.arange(20)], axis=1)
    names = {"ngw": ngw, "x": x, "y": y, "z": y, "pairs": pairs, "x_new": x[40:], "y_new": y[40:]}
    (code,) = [block for block in blocks(OWN_MODELS) if "ngw.Warp" in block]
    exec(code, names)
    assert (tmp_path / "warp.safetensors").is_file()
    assert names["plan"].converged
    assert ((names["u"] @ names["v"].T).argmax(1) == np.arange(20)).all()


def test_two_files_to_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, z in zip(("images", "texts"), rotated(1400), strict=True):
        np.save(f"{name}.npy", z)
    (code,) = [block for block in blocks(README) if "ngw.compare" in block]
    names: dict = {}
    exec(code, names)
    assert len(capsys.readouterr().out.splitlines()) == 6  # title, head, four methods
    assert ((names["u"] @ names["v"].T).argmax(1) == np.arange(1400)).mean() > 0.9
    (line,) = re.findall(r"python -m ngw (align .*)", README.read_text(encoding="utf-8"))
    assert main(line.split()) == 0
    assert [row.split()[0] for row in capsys.readouterr().out.splitlines()[2:]] == ["ngw", "cca"]
    assert ngw.Warp.load("warp.safetensors").transform(np.load("images.npy")[:2]).shape == (2, 6)


def test_the_entries_of_ones_own_data_and_encoders_exist():
    (block,) = re.findall(r"```yaml\n(datasets:\n  mine.*?)```", OWN_MODELS.read_text(encoding="utf-8"), re.DOTALL)
    config = yaml.safe_load(block)
    assert data.check(config["datasets"]["mine"]).__name__ == "ngw.data.folder"
    found = {name: encoders.build(spec) for name, spec in config["encoders"].items()}
    assert {name: encoder.width for name, encoder in found.items()} == {"dinov2": 768, "mine": 768, "other": 768}


def test_the_baseline_is_a_method_that_recovers_a_rotation():
    names: dict = {"__name__": "least_squares"}
    (code,) = [block for block in blocks(README) if "LeastSquares" in block]
    exec(code, names)
    x, y = rotated()
    method = names["LeastSquares"]().fit(x, y, np.arange(40))
    assert isinstance(method, Method)
    np.testing.assert_allclose(method.transform(x[40:]), y[40:], atol=1e-3)
    np.testing.assert_allclose(method.inverse_transform(y[40:]), x[40:], atol=1e-3)


@pytest.mark.long
def test_the_tutorial_prints_a_table_and_draws_a_figure(tmp_path):
    script = README.parent / "examples" / "align_two_models.py"
    command = [sys.executable, str(script), str(tmp_path / "figure.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    rows = {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()[2:] if len(line.split()) == 7}
    assert rows.keys() == {"ngw", "cca", "ridge"}
    assert min(rows.values()) > 20  # chance is 1
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_tables_are_those_of_the_last_make():
    names: dict = {"__name__": "readme", "__file__": str(README.parent / "docs" / "readme.py")}
    exec(compile((README.parent / "docs" / "readme.py").read_text(encoding="utf-8"), "readme.py", "exec"), names)
    with names["NUMBERS"].open(encoding="utf-8") as file:
        numbers = list(csv.DictReader(file))
    pages = [page.read_text(encoding="utf-8") for page in names["PAGES"]]
    assert re.findall(r"<!-- table (\w+) -->", "".join(pages)) == list(names["BLOCKS"])
    assert [names["filled"](page, numbers) for page in pages] == pages
