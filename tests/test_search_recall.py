"""What an index ranks: equal scores in order, and the recall of the retrieval evaluation, to the last digit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from miniatures import said
from photograph_albums import N, album, fitted, paths

from ngw.dual import index as indices
from ngw.dual import sides
from ngw.dual.encoder import DualEncoder
from ngw.dual.encoding import encoded
from ngw.dual.index import Index
from ngw.errors import InputError
from ngw.features import Features
from ngw.methods import build
from ngw.tasks.retrieval import evaluate

UCM = Path(__file__).parents[2] / "shared" / "data" / "ucm-captions"  # beside the checkout


def test_equal_scores_come_in_the_order_of_the_rows():
    vectors = np.eye(4, dtype=np.float32)[[0, 1, 1, 2, 1, 0]]
    index = Index("", "", "", list("abcdef"), np.zeros(6, int), np.zeros(6, int), vectors)
    found, scores = index.nearest(np.eye(4, dtype=np.float32)[[1, 0]], 4)
    assert found[0].tolist() == [1, 2, 4, 0]
    assert found[1].tolist() == [0, 5, 1, 2]
    assert scores[0].tolist() == [1, 1, 1, 0]
    assert index.nearest(vectors[:1], 99)[0].shape == (1, 6)


def test_recall_by_search_is_the_evaluation_s(tmp_path, monkeypatch):
    monkeypatch.setenv("NGW_CACHE", str(tmp_path / "cache"))
    files, texts = paths(album(tmp_path / "photos")), [said(k)[0] for k in range(N)]
    model = fitted(tmp_path / "photos")
    model.save(tmp_path / "model")
    index = indices.update(tmp_path / "photos.index", tmp_path / "photos", model, tmp_path / "model")
    x, y = model.vision.encode(files).pooled, model.text.encode(texts).pooled
    check_recall(model, index, files, x, y, np.arange(N), texts)
    with pytest.raises(InputError, match="expected an index of the model"):  # one that was not saved has none
        index.check_model(fitted(tmp_path / "photos"), "photos.index", "a model")


def check_recall(model, index, files, x, y, owner, texts):
    """R@1 of texts by search in an index of the files, against the retrieval evaluation."""
    a = Features(np.arange(len(x)), np.arange(len(x)), x, {})
    b = Features(np.arange(len(y)), owner, y, {})
    wanted = evaluate(model.warp, a, b).metrics["t2i_recall_1"]
    best, _ = index.nearest(model.encode_text(texts), 1)
    hits = [index.path(row).name == Path(files[k]).name for row, k in zip(best[:, 0], owner, strict=True)]
    assert float(np.mean(hits)) == wanted


@pytest.mark.skipif(not UCM.is_dir(), reason=f"{UCM} isn't there; these photographs are real ones to try")
def test_recall_on_photographs_is_the_evaluation_s(tmp_path, monkeypatch):
    from ngw.data import load

    monkeypatch.setenv("NGW_CACHE", str(tmp_path / "cache"))
    data = load("karpathy", root=str(UCM), file="dataset_ucm.json", images="images", check_images=False)
    test = [k for k, split in enumerate(data.images["split"]) if split == "test"][::3]
    (tmp_path / "photos").mkdir()
    for k in test:
        shutil.copy(data.images["path"][k], tmp_path / "photos")
    files = [str(tmp_path / "photos" / Path(data.images["path"][k]).name) for k in test]
    place = {data.images["image_id"][k]: row for row, k in enumerate(test)}
    said = [
        (place[i], text) for i, text in zip(data.captions["image_id"], data.captions["text"], strict=True) if i in place
    ]
    owner, texts = np.array([row for row, _ in said]), [text for _, text in said]
    model = fitted_on(files, texts, owner)
    model.save(tmp_path / "model")
    index = indices.update(tmp_path / "photos.index", tmp_path / "photos", model, tmp_path / "model")
    x, y = encoded(model.vision, files), encoded(model.text, texts)
    check_recall(model, index, files, x, y, owner, texts)


def fitted_on(files, texts, owner) -> DualEncoder:
    """A model of pictures and their first captions."""
    vision, text = sides.build("effnet-lite0", "vision"), sides.build("minilm-l6", "text")
    first = np.unique(owner, return_index=True)[1]
    x, y = encoded(vision, files), encoded(text, [texts[k] for k in first])
    method = build({"kind": "warp", "rounds": 2}).fit(x, y, np.arange(0, len(files), 2))
    return DualEncoder(vision, text, method)
