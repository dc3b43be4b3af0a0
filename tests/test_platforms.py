"""Systems without Linux's features (macOS): the same results in another way."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ngw import io
from ngw.io import images
from ngw.ot import sinkhorn


def test_a_file_of_tensors_is_the_same_without_posix_fallocate(tmp_path, monkeypatch):
    arrays = {"x": np.arange(12.0).reshape(3, 4), "flags": np.ones(5, bool)}
    io.write_tensors(tmp_path / "there", arrays, {"made": "so"})
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr(io, "CHUNK", 7)
    io.write_tensors(tmp_path / "here", arrays, {"made": "so"})
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


def test_images_are_read_in_threads_without_an_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    found = images.stack(lambda path: np.full((3, 1, 1), float(path)), ["1", "2"])
    assert found[:, 0, 0, 0].tolist() == [1, 2]


@pytest.mark.filterwarnings("error")
def test_a_plan_finds_its_memory_where_free_pages_are_not_told(monkeypatch):
    x = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    expected = sinkhorn(x, x + 1, epsilon=0.1)
    monkeypatch.delitem(os.sysconf_names, "SC_AVPHYS_PAGES", raising=False)
    found = sinkhorn(x, x + 1, epsilon=0.1)
    np.testing.assert_array_equal(found.f, expected.f)
