"""Token files: float16 in a PCA basis, each different item once, read piece by piece, refused where they don't fit."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ngw import features, io
from ngw.encoders import Encoder, Encoding
from ngw.errors import InputError
from ngw.features import tokens
from ngw.features.basis import fit_basis, read_basis, write_basis
from ngw.fusion import Basis

WIDTH, GRID = 6, 4
HEAD = {"dataset": "made", "split": "train", "encoder": "made", "spec": "{}", "scale": "2.0", "explained": "1.0"}


class Made(Encoder):
    """Tokens that follow from the item: item "5 w w w" has its words' number of them (text), or GRID (vision)."""

    width = token_width = WIDTH
    licence = training_data = preprocessing = version = "none"

    def __init__(self, modality="text", scale=1.0, lies=0):
        self.modality, self.n_tokens, self.scale, self.lies, self.encoded = modality, GRID, scale, lies, []

    def count_tokens(self, items):
        if self.modality == "vision":
            return super().count_tokens(items)
        return np.array([len(item.split()) for item in items]) + self.lies

    def encode(self, items, tokens=False):
        self.encoded += items
        z = np.zeros((len(items), 8, WIDTH), np.float32)
        mask = np.zeros((len(items), 8), bool)
        for row, item in enumerate(items):
            count = GRID if self.modality == "vision" else len(item.split())
            stream = np.random.default_rng(int(item.split()[0]))
            z[row, :count] = self.scale * (3 + stream.standard_normal((count, WIDTH)) * np.arange(1, WIDTH + 1))
            mask[row, :count] = True
        pooled = (z.sum(1) / mask.sum(1, keepdims=True)) / 2
        return Encoding(pooled, z, mask)


ITEMS = ["1 a", "2", "3 a b c", "2", "4 a b"]
IDS = [10, 20, 30, 40, 50]


def rows_of(encoder, items):
    part = encoder.encode(items, tokens=True)
    return part.tokens[part.mask].astype(np.float64)


def test_the_basis_is_the_tokens_principal_components():
    items = [f"{i} a b" for i in range(50)]
    basis, about = fit_basis(Made(), items, 3)
    rows = rows_of(Made(), items)
    _, singular, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs((basis.axes.T @ axes[:3].T).diagonal()), 1, atol=1e-4)
    np.testing.assert_allclose(basis.mean, rows.mean(0), atol=1e-4)
    assert about["explained"] == pytest.approx((singular[:3] ** 2).sum() / (singular**2).sum())
    kept = (rows - rows.mean(0)) @ basis.axes
    assert about["scale"] == pytest.approx(np.sqrt((kept**2).sum(1).mean()))
    assert basis.unit == pytest.approx(2)  # pooled is half the mean


def test_kept_tokens_stand_for_the_encoder(tmp_path):
    items, ids, encoder = ["7", "8", "9", "1", "2"], [70, 80, 90, 10, 20], Made("vision")
    head = {"dataset": "made", "split": "train", "encoder": "made", "spec": "{}"}
    features.encode(encoder, items, ids, ids, tmp_path / "x", head, batch=2, kept=tmp_path / "kept")
    assert encoder.encoded == items  # once each
    kept = features.Kept(encoder, tmp_path / "kept", "{}", items, ids)
    (ours, _), (seen, _) = (fit_basis(one, ["9", "7", "2"], None) for one in (encoder, kept))
    assert (seen.unit, seen.axes.tolist()) == (pytest.approx(ours.unit, rel=1e-3), ours.axes.tolist())
    part, again = encoder.encode(["1", "8"], tokens=True), kept.encode(["1", "8"], tokens=True)
    np.testing.assert_array_equal(again.pooled, features.read(tmp_path / "x").x[[3, 1]])
    np.testing.assert_array_equal(again.tokens, part.tokens[:, :GRID].astype(np.float16).astype(np.float32))
    with pytest.raises(InputError, match=r"kept: expected 5 in it, found 5 other images; set run.keep_tokens: false"):
        kept.encode(["9", "5"])
    with pytest.raises(InputError, match=r"expected encodings by \{\"size\": 2\}, found those by \{\}; encode again"):
        features.Kept(encoder, tmp_path / "kept", '{"size": 2}', items, ids)
    with pytest.raises(InputError, match="expected an encoder of images, found one of texts; leave --kept out"):
        features.encode(Made(), ITEMS, IDS, IDS, tmp_path / "y", head, kept=tmp_path / "no")
    assert not (tmp_path / "y").exists()


def test_without_dimensions_tokens_stay_as_they_are():
    basis, about = fit_basis(Made("vision"), ["1", "2", "3"], None)
    assert np.array_equal(basis.axes, np.eye(WIDTH))
    assert not basis.mean.any()
    assert about["explained"] == 1


def test_more_dimensions_than_there_are_is_refused():
    with pytest.raises(InputError, match="at most 6 dimensions, as 12 tokens of width 6 give, found 7"):
        fit_basis(Made("vision"), ["1", "2", "3"], 7)


@pytest.fixture
def basis():
    return fit_basis(Made(), [f"{i} a b c" for i in range(20)], 4)[0]


def test_what_was_written_is_read_item_by_item(tmp_path, basis):
    encoder = Made()
    tokens.write(encoder, ITEMS, IDS, basis, tmp_path / "t", HEAD)
    assert sorted(encoder.encoded) == sorted(set(ITEMS))  # equal items once
    file = tokens.TokenFile(tmp_path / "t")
    assert file.ids.tolist() == IDS
    assert (file.tokens.width, file.tokens.scale) == (4, 2.0)
    z, mask = file.batch(file.rows([30, 40, 10]))
    assert z.dtype == np.float16
    assert z.shape == (3, 4, 4)
    assert mask.sum(1).tolist() == [4, 1, 2]
    for row, item in enumerate(["3 a b c", "2", "1 a"]):
        expected = (rows_of(Made(), [item]) - basis.mean) @ basis.axes
        np.testing.assert_allclose(z[row][mask[row]].astype(np.float64), expected, atol=2e-2)
    np.testing.assert_array_equal(file.basis.axes, basis.axes)
    assert file.basis.unit == basis.unit


def test_an_image_takes_as_many_bytes_as_documented(tmp_path):
    class Wide(Encoder):
        modality, width, token_width, n_tokens = "vision", 128, 128, 49
        licence = training_data = preprocessing = version = "none"

        def encode(self, items, tokens=False):
            z = np.ones((len(items), 49, 128), np.float32)
            return Encoding(z[:, 0], z, z[..., 0] > 0)

    whole = Basis(np.eye(128, dtype=np.float32), np.zeros(128, np.float32))
    sizes = []
    for n in (10, 110):
        tokens.write(Wide(), [str(i) for i in range(n)], range(n), whole, tmp_path / "t", HEAD)
        sizes.append((tmp_path / "t").stat().st_size)
    assert (sizes[1] - sizes[0]) / 100 == pytest.approx(12.5 * 1000, rel=0.01)


def test_missing_items_are_named(tmp_path, basis):
    tokens.write(Made(), ITEMS, IDS, basis, tmp_path / "t", HEAD)
    with pytest.raises(InputError, match=r"t: 99: expected its tokens, found none \(2 of 3 are missing\)"):
        tokens.TokenFile(tmp_path / "t").rows([10, 99, 98])


def test_files_that_are_not_whole_are_refused(tmp_path, basis):
    with pytest.raises(InputError, match="no such token file; run the tokens stage"):
        tokens.TokenFile(tmp_path / "t")
    tokens.write(Made(), ITEMS, IDS, basis, tmp_path / "t", HEAD)
    whole = (tmp_path / "t").read_bytes()
    (tmp_path / "t").write_bytes(whole[:-2])
    with pytest.raises(InputError, match="t: expected a token file, found content that differs from its digest"):
        tokens.TokenFile(tmp_path / "t")
    io.write_tensors(tmp_path / "t", {"x": np.ones(3)}, {"schema": "ngw-tokens-0"})
    with pytest.raises(InputError, match="expected schema ngw-tokens-1, found ngw-tokens-0"):
        tokens.TokenFile(tmp_path / "t")
    (tmp_path / "t").write_bytes(b"not a file of tokens at all")
    with pytest.raises(InputError, match="expected a token file"):
        tokens.TokenFile(tmp_path / "t")


@pytest.mark.parametrize(
    ("encoder", "items", "words"),
    [
        (Made(scale=1e6), ITEMS, "expected finite tokens in float16, found NaN or infinity"),
        (Made(lies=1), ITEMS, "expected 2 tokens, as count_tokens says, found 1"),
        (Made(), [], "expected items to encode, found none"),
    ],
)
def test_what_can_not_be_kept_is_refused_and_nothing_is_left(tmp_path, basis, encoder, items, words):
    with pytest.raises(InputError, match=words):
        tokens.write(encoder, items, IDS[: len(items)], basis, tmp_path / "t", HEAD)
    assert os.listdir(tmp_path) == []


def test_a_basis_reads_back(tmp_path, basis):
    write_basis(tmp_path / "b", basis, {"explained": 0.9, "scale": 2.0}, {"dataset": "made", "encoder": "made"})
    back, head = read_basis(tmp_path / "b")
    assert np.array_equal(back.axes, basis.axes)
    assert back.unit == basis.unit
    assert (float(head["explained"]), head["encoder"]) == (0.9, "made")
