"""CIFAR's published files: pixels and labels by hand, a pickle that runs nothing, cut files."""

from __future__ import annotations

import collections
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from ngw import data
from ngw.errors import InputError

BATCH = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072)


def refused(words, **options):
    with pytest.raises(InputError) as error:
        data.load(**options)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), error.value


def cifar(root, python, coarse):
    """Two training batches' worth of two images and as many for testing, in an official layout."""
    names = {"fine": ["apple", "aquarium_fish"], "coarse": ["fruit", "fish", "trees"]}
    batches = ["train", "test"] if coarse else [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    if python:
        keys = {b"fine_labels": [1, 0], b"coarse_labels": [2, 0]} if coarse else {b"labels": [1, 0]}
        for name in batches:
            (root / name).write_bytes(pickle.dumps({b"data": BATCH, **keys}, protocol=4))
        meta = {f"{level}_label_names".removeprefix("" if coarse else "fine_"): n for level, n in names.items()}
        (root / ("meta" if coarse else "batches.meta")).write_bytes(pickle.dumps(meta, protocol=2))
        return root
    head = np.array([[2, 1], [0, 0]] if coarse else [[1], [0]], np.uint8)
    for name in batches:
        np.hstack([head, BATCH]).tofile(root / f"{name}.bin")
    for level, words in names.items():
        name = f"{level}_label_names.txt" if coarse else "batches.meta.txt"
        if coarse or level == "fine":
            (root / name).write_text("\n".join(words) + "\n\n")
    return root


@pytest.mark.parametrize("python", [True, False])
@pytest.mark.parametrize("coarse", [True, False])
def test_cifar_as_it_is_published(tmp_path, python, coarse):
    (tmp_path / "files").mkdir()
    spec = {"kind": "cifar", "source": str(cifar(tmp_path / "files", python, coarse))}
    dataset = data.prepare(spec, tmp_path / "raw")
    assert dataset.classes.names == ("apple", "aquarium fish")
    assert dataset.sizes()["labels"] == ({"train": 2, "test": 2} if coarse else {"train": 10, "test": 2})
    assert dataset.labels["label"][-2:] == [1, 0]
    shown = np.asarray(Image.open(dataset.images["path"][-1]))
    # The published rows are the red channel, then green and blue, each from the top row on.
    assert [shown[0, 0, c] for c in range(3)] == [BATCH[1, 1024 * c] for c in range(3)]
    assert shown[1, 2, 0] == BATCH[1, 34]
    assert spec["source"] in data.sources(spec)


def test_cifar_100_has_coarse_labels_and_cifar_10_none(tmp_path):
    (tmp_path / "files").mkdir()
    cifar(tmp_path / "files", True, True)
    spec = {"kind": "cifar", "source": str(tmp_path / "files"), "labels": "coarse"}
    with pytest.raises(InputError, match="class 'fish': expected a test image"):
        data.prepare(spec, tmp_path / "raw")
    with pytest.raises(InputError, match="expected 'fine' or 'coarse', found 'corse'"):
        data.check(spec | {"labels": "corse"})
    (tmp_path / "ten").mkdir()
    with pytest.raises(InputError, match="expected coarse labels, found fine ones"):
        data.prepare(spec | {"source": str(cifar(tmp_path / "ten", False, False))}, tmp_path / "raw")
    with pytest.raises(InputError, match="expected the published files"):
        data.prepare(spec | {"source": str(tmp_path)}, tmp_path / "raw")


def python2(values: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 pickled those that are published: texts are bytes, the array by NumPy's old names."""

    def text(word: bytes) -> bytes:
        return b"U" + bytes([len(word)]) + word

    none = b"J" + b"\xff" * 4
    dtype = b"cnumpy\ndtype\n(" + text(b"u1") + b"K\0K\1tR(K\3" + text(b"|") + b"NNN" + none + none + b"K\0tb"
    shape = b"(K" + bytes([len(values)]) + b"M\x00\x0ct"
    content = b"T" + values.nbytes.to_bytes(4, "little") + values.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0t" + text(b"b") + b"tR(K\1"
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    array += shape + dtype + b"\x89" + content + b"tb"
    return b"\x80\x02}(" + text(b"data") + array + text(b"fine_labels") + numbers + b"u."


def test_cifar_as_python_2_pickled_it(tmp_path):
    cifar(tmp_path, True, True)
    for name in ("train", "test"):
        (tmp_path / name).write_bytes(python2(BATCH, [1, 0]))
        assert np.array_equal(pickle.loads((tmp_path / name).read_bytes(), encoding="bytes")[b"data"], BATCH)
    dataset = data.prepare({"kind": "cifar", "source": str(tmp_path)}, tmp_path / "raw")
    assert dataset.labels["label"] == [1, 0, 1, 0]
    assert np.asarray(Image.open(dataset.images["path"][1]))[0, 0].tolist() == BATCH[1, ::1024].tolist()


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize("content", [Evil(), collections.OrderedDict(), [1], {"data": 3}, np.zeros(3, object)])
def test_a_pickle_of_anything_else_runs_nothing(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    cifar(tmp_path, True, True)
    (tmp_path / "train").write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(InputError, match=r"train: expected"):
        data.prepare({"kind": "cifar", "source": str(tmp_path)}, tmp_path / "raw")
    assert not (tmp_path / "evil").exists()


def test_cut_files_of_cifar_are_refused(tmp_path):
    cifar(tmp_path, True, True)
    whole = (tmp_path / "train").read_bytes()
    (tmp_path / "train").write_bytes(whole[:-40])
    with pytest.raises(InputError, match=r"train: expected a pickled batch"):
        data.prepare({"kind": "cifar", "source": str(tmp_path)}, tmp_path / "raw")
    (tmp_path / "ten").mkdir()
    cifar(tmp_path / "ten", False, False)
    (tmp_path / "ten/test_batch.bin").write_bytes(b"123")
    with pytest.raises(InputError, match=r"test_batch\.bin: expected records of 3073 bytes, found 3 bytes"):
        data.prepare({"kind": "cifar", "source": str(tmp_path / "ten")}, tmp_path / "raw")
