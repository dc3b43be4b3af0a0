"""Encoders in the Hugging Face format: each family's real code on tiny random weights, and preprocessing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import CLIP, DINO, SHAPE, VIT, vision_folder, words

from ngw import encoders
from ngw.errors import InputError
from ngw.io import images as _images


@pytest.mark.parametrize("name", ["vit", "dinov2", "dinov2-with-registers"])
def test_vision_features_are_those_of_transformers_own_pipeline(name, photographs, tmp_path):
    from transformers import AutoModel, ViTImageProcessorPil
    from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

    vision_folder(tmp_path, name)
    processor = (ViTImageProcessorPil if name == "vit" else BitImageProcessorPil).from_pretrained(tmp_path)
    with torch.inference_mode():
        parts = [processor(Image.open(path), return_tensors="pt")["pixel_values"] for path in photographs]
        hidden = AutoModel.from_pretrained(tmp_path).eval()(pixel_values=torch.cat(parts)).last_hidden_state.numpy()
    spec = {"kind": "transformers-vision", "model": str(tmp_path), "width": 16}
    found = encoders.build(spec).encode(photographs, tokens=True)
    np.testing.assert_allclose(found.pooled, hidden[:, 0], atol=2e-4)
    np.testing.assert_allclose(found.tokens, hidden[:, -16:], atol=2e-4)  # 4 x 4 patches, registers left out
    assert found.mask.all()
    mean = encoders.build(spec | {"pooling": "mean"})
    np.testing.assert_allclose(mean.encode(photographs).pooled, hidden[:, -16:].mean(1), atol=2e-4)
    assert mean.n_tokens == 16
    assert mean.view(photographs[0]).size == (32, 32)


@pytest.mark.parametrize("layout", [VIT, DINO, CLIP], ids=["ViT", "DINOv2", "CLIP"])
def test_preprocessing_is_transformers_own(layout, photographs, tmp_path):
    import importlib

    kind = layout["image_processor_type"].removesuffix("ImageProcessor").lower()
    module = importlib.import_module(f"transformers.models.{kind}.image_processing_pil_{kind}")
    theirs = getattr(module, layout["image_processor_type"] + "Pil")(**layout)
    ours = _images.Preprocessor(layout, "here")
    for path in photographs:
        wanted = theirs(Image.open(path), return_tensors="np")["pixel_values"][0]
        np.testing.assert_allclose(ours.pixels(path), wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["Bert", "Roberta", "MPNet"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_texts_are_pooled_as_asked_and_padding_changes_nothing(name, pooling, tmp_path):
    import transformers

    words(tmp_path, "<pad>" if name == "Roberta" else "[PAD]")
    config = getattr(transformers, f"{name}Config")(vocab_size=8, max_position_embeddings=40, pad_token_id=0, **SHAPE)
    torch.manual_seed(0)
    network = getattr(transformers, f"{name}Model")(config).eval()
    network.save_pretrained(tmp_path)
    spec = {"kind": "transformers-text", "model": str(tmp_path), "width": 16, "pooling": pooling, "normalise": False}
    found = encoders.build(spec).encode(["a cat", "a dog a cat"]).pooled
    for text, row in (([2, 4, 5, 3], found[0]), ([2, 4, 6, 4, 5, 3], found[1])):
        with torch.inference_mode():
            hidden = network(input_ids=torch.tensor([text])).last_hidden_state[0].numpy()
        np.testing.assert_allclose(row, hidden.mean(0) if pooling == "mean" else hidden[0], atol=1e-5)
    prefixed = encoders.build(spec | {"prefix": "query: "}).encode(["a cat"]).pooled
    np.testing.assert_allclose(prefixed, encoders.build(spec).encode(["query: a cat"]).pooled)


def test_pictures_are_prepared_while_the_network_works(photographs, tmp_path):
    import threading
    import time

    from ngw import features

    vision_folder(tmp_path, "vit")
    encoder = encoders.build({"kind": "transformers-vision", "model": str(tmp_path), "width": 16})
    encoder.network  # noqa: B018 (loads)
    plain, prepare, encode, log = encoder.encode(photographs).pooled, encoder.prepare, encoder.encode, []

    def slow(items, tokens=False):
        time.sleep(0.2)
        log.append("encoded")
        return encode(items, tokens)

    def noted(items):
        log.append("prepared" if threading.current_thread() is not threading.main_thread() else "in the way")
        return prepare(items)

    encoder.encode, encoder.prepare = slow, noted
    found = dict(
        zip(
            [0, 1, 2],
            np.concatenate([e.pooled for _, e in features.batches(encoder, photographs, batch=1)]),
            strict=True,
        )
    )
    np.testing.assert_allclose([found[k] for k in range(3)], plain, atol=1e-5)
    assert log == ["prepared", "prepared", "encoded", "prepared", "encoded", "encoded"]


def test_an_unreadable_picture_is_named_through_the_threads(photographs, tmp_path):
    from ngw import features

    vision_folder(tmp_path, "vit")
    (tmp_path / "bad.png").write_bytes(b"x")
    encoder = encoders.build({"kind": "transformers-vision", "model": str(tmp_path), "width": 16})
    with pytest.raises(InputError, match=r"bad\.png: expected a readable image"):
        list(features.batches(encoder, [*photographs, str(tmp_path / "bad.png")], batch=2))


def test_half_precision_is_near_and_leaves_as_float32(photographs, tmp_path):
    vision_folder(tmp_path, "vit")
    spec = {"kind": "transformers-vision", "model": str(tmp_path), "width": 16}
    full, half = (encoders.build(spec | {"precision": p}).encode(photographs).pooled for p in ("float32", "bfloat16"))
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, full, atol=0.1)
    assert not np.array_equal(half, full)


def test_a_compiled_network_is_the_network_compiled_once(photographs, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: asked.append((type(self).__name__, how)))
    vision_folder(tmp_path, "vit")
    spec = {"kind": "transformers-vision", "model": str(tmp_path), "width": 16}
    plain = encoders.build(spec).encode(photographs).pooled
    assert asked == []
    np.testing.assert_array_equal(encoders.build({**spec, "compiled": True}).encode(photographs).pooled, plain)
    assert asked == [("ViTModel", {"dynamic": True})]
