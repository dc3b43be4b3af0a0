"""The folders of encoders: a hub model by its revision, and the errors of an incomplete folder."""

from __future__ import annotations

import json

import pytest
from tiny_encoders import VIT, vision_folder

from ngw import encoders
from ngw.encoders import _huggingface
from ngw.errors import InputError


def test_a_hub_model_wants_a_revision_and_anything_else_is_no_folder():
    with pytest.raises(InputError, match="org/model: expected a folder, or a hub model with its `revision`, found nei"):
        _huggingface.folder("org/model")
    with pytest.raises(InputError, match="some where: no such folder; name one, or a model on the hub"):
        _huggingface.folder("some where")


@pytest.mark.parametrize("failure", ["offline", "revision", "repository", "network"])
def test_what_the_hub_answers_is_one_sentence_with_a_remedy(failure, monkeypatch):
    import huggingface_hub
    from huggingface_hub import errors

    def made(kind):  # without the answer of a server, which their constructors want
        return kind.__new__(kind, "no")

    raised, words = {
        "offline": (errors.LocalEntryNotFoundError("not in the cache"), "run `hf download org/model --revision abc`"),
        "revision": (made(errors.RevisionNotFoundError), "expected the revision 'abc', found none"),
        "repository": (made(errors.RepositoryNotFoundError), "expected a public model of that name"),
        "network": (ConnectionError("no route"), r"found neither \(no route\); with a network run"),
    }[failure]

    def snapshot(*_, **__):
        raise raised

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    with pytest.raises(InputError, match=words):
        _huggingface.folder("org/model", "abc")


def test_a_hub_model_is_asked_for_by_revision_and_without_pickles(monkeypatch, tmp_path):
    import huggingface_hub

    asked = {}
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **how: asked.update(how) or str(tmp_path))
    assert _huggingface.folder("org/model", "abc") == tmp_path
    assert asked["revision"] == "abc"
    assert not [pattern for pattern in asked["allow_patterns"] if pattern.endswith((".bin", ".pt", ".pkl"))]
    _huggingface.folder("org/model", "abc", pickle=True)
    assert "pytorch_model.bin" in asked["allow_patterns"]


def test_a_missing_file_a_wrong_width_and_a_wrong_size_are_named(photographs, tmp_path):
    vision_folder(tmp_path, "vit")
    spec = {"kind": "transformers-vision", "model": str(tmp_path)}
    with pytest.raises(InputError, match="expected width 768, found 16; mend `width`"):
        encoders.build(spec).encode(photographs)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(VIT | {"size": {"height": 64, "width": 64}}))
    with pytest.raises(InputError, match=r"preprocessor_config\.json: expected the network's size, found: Input image"):
        encoders.build(spec | {"width": 16}).encode(photographs)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 32, "width": 32}, "resample": 2}))
    with pytest.raises(InputError, match="expected an image processor's settings, found no 'image_mean'"):
        encoders.build(spec | {"width": 16}).encode(photographs)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"preprocessor_config\.json: no such file"):
        encoders.build(spec | {"width": 16}).encode(photographs)
