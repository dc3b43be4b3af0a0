"""What several test files share: a tiny scenes data set, an encoder without a network, feature files, a tiny `make`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from loopback import Server, serving
from tiny_repository import ROOT, run, tiny_repository

from ngw import features
from ngw.cli import main
from ngw.encoders import Encoder, Encoding

SIZES = {"train": 6, "val": 1, "test": 4}
N, M, D_X, D_Y = 12, 24, 6, 5  # images, captions (two an image), widths


class Count(Encoder):
    """Features that can be read off the item: the numbers in it, and how long it is. No network."""

    modality, width, token_width, n_tokens = "text", 3, 2, 4
    licence = training_data = preprocessing = version = "none"

    def __init__(self, modality: str = "text") -> None:
        self.modality, self.batches = modality, []

    def count_tokens(self, items):
        return np.array([min(4, len(item.split())) for item in items])

    def encode(self, items, tokens=False):
        self.batches.append(list(items))
        pooled = np.array([[float(item.split()[0]), len(item), 1] for item in items], np.float32)
        grid = pooled[:, None, :2] * np.arange(1, 5, dtype=np.float32)[:, None]  # token t is t + 1 times the first two
        mask = np.arange(4) < np.array([len(item.split()) for item in items])[:, None]
        return Encoding(pooled, grid, mask) if tokens else Encoding(pooled)


@pytest.fixture
def count() -> type[Count]:
    return Count


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    """The folder of tables (and, below raw/, of images) of six, one and four scenes."""
    folder = tmp_path_factory.mktemp("data") / "scenes"
    assert main(["data", "--spec", json.dumps({"kind": "scenes", "sizes": SIZES}), "--output", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The repository at tiny sizes after `make`, whose output is beside it: to read, not to change.

    Made once for all workers of pytest-xdist: the first one makes it, others wait.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / "a copy" / "ngw repository"  # a path with spaces
    with FileLock(base / "finished.lock"):
        if not (base / "make.out").exists():
            shutil.rmtree(folder.parent, ignore_errors=True)  # what a worker that failed has left
            folder.parent.mkdir()
            tracer = tiny_repository(folder) / "sitecustomize.py"
            shutil.copy(Path(__file__).parent / "tracing.py", tracer)
            (folder / "traces").mkdir()
            done = run(folder, "make", "CORES=2")
            assert done.returncode == 0, done.stdout + done.stderr
            tracer.unlink()
            (base / "make.out").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """The finished copy, again, to change: results keep their times."""
    folder = tmp_path / "again"
    shutil.copytree(finished, folder, symlinks=True)
    return folder


@pytest.fixture
def server() -> Iterator[Server]:
    """An HTTP server on loopback, whose files have faults where a test gives them some."""
    with serving() as one:
        yield one


@pytest.fixture
def project(tmp_path) -> Path:
    """A project's folder with its config, to which data is fetched."""
    folder = tmp_path / "my project"
    folder.mkdir()
    shutil.copy(ROOT / "config.yaml", folder)
    return folder


def cloud(path: Path, modality: str, **changes: str) -> Path:
    """A feature file of twelve images or of their 24 captions, two linear views of the same points."""
    points = np.random.default_rng(0).standard_normal((N, 4))
    ids, owner, width = np.arange(N), np.arange(N), D_X
    if modality == "text":
        ids, owner, width = 100 + np.arange(M), np.arange(N).repeat(2), D_Y
    x = points[owner] @ np.random.default_rng(width).standard_normal((4, width)) + 0.01 * ids[:, None]
    head = {"dataset": "points", "split": "own", "encoder": modality + "-encoder", "modality": modality, **changes}
    arrays = {"ids": ("int64", (len(ids),)), "image_ids": ("int64", (len(ids),)), "pooled": ("float32", x.shape)}
    with features.writer(path, arrays, head) as out:
        out["ids"][:], out["image_ids"][:], out["pooled"][:] = ids, owner, x
    return path


@pytest.fixture
def write_cloud() -> Callable[..., Path]:
    return cloud


@pytest.fixture
def pair(tmp_path) -> tuple[Path, Path]:
    """Feature files of images and captions that belong together."""
    return cloud(tmp_path / "vision.safetensors", "vision"), cloud(tmp_path / "text.safetensors", "text")


@pytest.fixture
def rewrite() -> Callable[..., None]:
    """rewrite(path, pooled=..., ids=...) replaces arrays of a feature file and makes its checksum right again."""

    def change(path: Path, **arrays: np.ndarray) -> None:
        old = features.read(path)
        new = {"ids": old.ids, "image_ids": old.image_ids, "pooled": old.x, **arrays}
        shapes = {name: (str(value.dtype), value.shape) for name, value in new.items()}
        head = {name: value for name, value in old.metadata.items() if name not in ("schema", "sha256")}
        with features.writer(path, shapes, head) as out:
            for name, value in new.items():
                out[name][:] = value

    return change


@pytest.fixture
def refused(capsys):
    """refused(command line, *words): status 2, and a last line on standard error that names the stage and the words."""

    def check(command: list[str], *words: str) -> None:
        capsys.readouterr()
        assert main(command) == 2
        line = capsys.readouterr().err.split("\n")[-2]  # a progress bar may stand before it
        line = line.rsplit("\r", 1)[-1]
        assert f"ngw {command[0]}: " in line
        for word in words:
            assert str(word) in line, line

    return check


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> list[str]:
    """Three pictures of noise, wide, tall and small."""
    from PIL import Image

    folder, draw = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    paths = []
    for k, size in enumerate([(60, 90), (81, 50), (24, 20)]):
        Image.fromarray(draw.integers(0, 256, (*size, 3), np.uint8)).save(folder / f"{k}.png")
        paths.append(str(folder / f"{k}.png"))
    return paths
