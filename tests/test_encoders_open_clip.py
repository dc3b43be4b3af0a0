"""Models of open_clip by name: its own loader on tiny weights, where that library is installed, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from ngw import encoders
from ngw.dual import sides
from ngw.errors import InputError

TEXTS = ["a cat", "a dog and a cat", "dog"]
CONFIG = {
    "embed_dim": 6,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
PREPROCESS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic", "resize_mode": "shortest"}


@pytest.fixture(scope="module")
def library():
    """open_clip, an extra: it wants torchvision, whose builds belong to one torch each."""
    return pytest.importorskip("open_clip", reason="open_clip isn't installed: pip install 'ngw[open-clip]'")


@pytest.fixture(scope="module")
def saved(library, tmp_path_factory):
    """A folder of open_clip's format, with random weights."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("saved") / "model"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}))
    torch.manual_seed(0)
    save_file(library.CLIP(**CONFIG).state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of the model, to change."""
    return shutil.copytree(saved, tmp_path / "model")


def build(model, side="vision", **options):
    return encoders.build({"kind": "open-clip", "side": side, "model": str(model), "width": 6, **options})


def unit(x):
    return torch.nn.functional.normalize(x, dim=-1).numpy()


def test_features_are_the_library_s_own_and_do_not_depend_on_the_batch(library, saved, photographs):
    network, _, preprocess = library.create_model_and_transforms(f"local-dir:{saved}")
    tokenizer = library.get_tokenizer(f"local-dir:{saved}")
    with torch.inference_mode():
        pixels = torch.stack([preprocess(Image.open(path)) for path in photographs])
        wanted = {
            "vision": unit(network.eval().encode_image(pixels)),
            "text": unit(network.encode_text(tokenizer(TEXTS))),
        }
    for side, items in (("vision", photographs), ("text", TEXTS)):
        encoder = build(saved, side)
        found = encoder.encode(items).pooled
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted[side], atol=1e-5)
        np.testing.assert_allclose(found, np.concatenate([encoder.encode([i]).pooled for i in items]), atol=1e-5)
        np.testing.assert_allclose(found, encoder.encode(encoder.prepare(items)).pooled, atol=1e-6)


def test_the_view_is_what_the_pixels_are_made_of(saved, photographs):
    encoder = build(saved)
    for path, pixels in zip(photographs, encoder.prepare(photographs), strict=True):
        view = encoder.view(path)
        assert view.size == (32, 32)
        np.testing.assert_allclose(pixels, ((np.asarray(view) / 255 - 0.5) / 0.25).transpose(2, 0, 1), atol=1e-5)


def test_tokens_are_counted_to_the_model_s_own_limit(saved):
    encoder = build(saved, "text")
    assert encoder.count_tokens(TEXTS).tolist() == [4, 7, 3]  # words, and two marks
    assert encoder.count_tokens(["dog " * 40, "hi !"]).tolist() == [12, 4]
    first, second = encoder.encode(["dog " * 40, "dog " * 50]).pooled
    np.testing.assert_allclose(first, second, atol=1e-6)
    with pytest.raises(InputError, match="open_clip gives pooled features only"):
        encoder.encode(["a"], tokens=True)


def test_an_architecture_with_a_file_of_weights_is_that_model(library, saved, photographs, tmp_path):
    (tmp_path / "tiny.json").write_text(json.dumps(CONFIG))
    library.add_model_config(tmp_path / "tiny.json")
    file = saved / "open_clip_model.safetensors"
    encoder = build("tiny", "text", pretrained=str(file))
    np.testing.assert_allclose(encoder.encode(TEXTS).pooled, build(saved, "text").encode(TEXTS).pooled, atol=1e-6)
    assert encoder.sources() == [str(file)]
    assert sides.identity(encoder) == sides.identity(build("tiny", "text", pretrained=str(shutil.copy(file, tmp_path))))
    assert encoder.card()["licence"] == "not stated"
    torch.save({"state_dict": library.CLIP(**CONFIG).state_dict()}, tmp_path / "own.pt")
    with pytest.raises(InputError, match=r"own\.pt: expected safetensors, found another form; .* `pickle: true`"):
        build("tiny", "text", pretrained=str(tmp_path / "own.pt")).encode(TEXTS)
    assert build("tiny", "text", pretrained=str(tmp_path / "own.pt"), pickle=True).encode(TEXTS).pooled.shape == (3, 6)


def test_a_tag_is_the_hub_model_of_open_clip_s_table_at_a_revision(library, saved, monkeypatch):
    import huggingface_hub

    asked = {}

    def snapshot(name, **how):
        asked.update(how, name=name)
        return str(saved)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    tagged = {"side": "text", "pretrained": "laion2b_s34b_b79k"}
    with pytest.raises(
        InputError, match=r"laion/CLIP-ViT-B-32-laion2B-s34B-b79K: expected a folder, or a hub model with"
    ):
        build("ViT-B-32", **tagged).encode(TEXTS)
    found = build("ViT-B-32", **tagged, revision="abc")
    assert found.encode(TEXTS).pooled.shape == (3, 6)
    assert (asked["name"], asked["revision"]) == ("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "abc")
    assert not [pattern for pattern in asked["allow_patterns"] if pattern.endswith((".bin", ".pt"))]
    assert found.version == "ViT-B-32, laion2b_s34b_b79k@abc"
    build("hf-hub:org/model@abc", "text").encode(TEXTS)
    assert asked["name"] == "org/model"
    for model, pretrained, words in (
        ("ViT-B-32", "laion2b", r"or a tag, found 'laion2b'\. Did you mean"),
        ("ViT-B32", "openai", r"expected an architecture of open_clip .* Did you mean 'ViT-B-32'"),
    ):
        with pytest.raises(InputError, match=words):
            build(model, "text", pretrained=pretrained).encode(TEXTS)


def test_a_tokenizer_without_a_revision_is_refused(saved):
    with pytest.raises(
        InputError, match=r"found one with a hub tokenizer, which has no revision; name a folder with open_clip"
    ):
        build("roberta-ViT-B-32", "text", pretrained=str(saved / "open_clip_model.safetensors")).encode(TEXTS)


def test_its_digest_is_that_of_its_weights_wherever_they_lie(folder, saved):
    from tiny_encoders import edit

    assert build(folder).sources() == [str(folder)]
    assert sides.identity(build(folder)) == sides.identity(build(saved))
    edit(folder, lambda weights: {**weights, "logit_scale": weights["logit_scale"] + 1}, "open_clip_model.safetensors")
    assert sides.identity(build(folder)) != sides.identity(build(saved))


def test_what_does_not_belong_together_is_refused(folder, photographs):
    from tiny_encoders import edit

    def refused(words, **options):
        with pytest.raises(InputError, match=words):
            build(folder, **options).encode(photographs)

    refused("expected width 7, found 6; mend `width`", width=7)
    edit(
        folder,
        lambda weights: {k: w for k, w in weights.items() if k != "text_projection"},
        "open_clip_model.safetensors",
    )
    refused("expected whole files of open_clip, found .*text_projection")
    (folder / "open_clip_model.safetensors").unlink()
    refused(r"\*\.safetensors: no such file; .* is not a whole model folder")
    (folder / "open_clip_config.json").unlink()
    refused(r"open_clip_config\.json: no such file; .* is not a whole model folder")


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_near_and_leaves_as_float32(precision, saved, photographs):
    for side, items in (("vision", photographs), ("text", TEXTS)):
        full, half = (build(saved, side, precision=p).encode(items).pooled for p in ("float32", precision))
        assert half.dtype == np.float32
        np.testing.assert_allclose(half, full, atol=0.1)
        assert not np.array_equal(half, full)


def test_without_the_library_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "open_clip_config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "open_clip", None)  # as if it weren't installed
    with pytest.raises(InputError, match=r"open_clip: expected this library, found .*; pip install 'ngw\[open-clip\]'"):
        build(tmp_path, "text").encode(TEXTS)
