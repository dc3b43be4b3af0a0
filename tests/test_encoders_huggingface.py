"""Encoders in the Hugging Face format: each family's real code on tiny random weights, and preprocessing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_encoders import DINO, SHAPE, VIT, text_folder, vision_folder, words

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


TODAY = {"size": {"height": 36, "width": 30}, "resample": 2}
EDGE = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True, "resample": 3}
OLD = {"size": 36}
CROPPED = OLD | {"crop_size": 32, "do_center_crop": True}
LAYOUTS = [
    *((f"{name}ImageProcessor", TODAY | {"do_center_crop": False}) for name in _images.DEFAULTS),
    *((f"{name}ImageProcessor", EDGE) for name in ("CLIP", "ChineseCLIP", "Bit", "DeiT")),
    *((f"{name}FeatureExtractor", OLD) for name in ("ViT", "Beit")),
    *((f"{name}FeatureExtractor", OLD | {"do_center_crop": False}) for name in _images.DEFAULTS),
    *((f"{name}FeatureExtractor", CROPPED) for name in ("CLIP", "ChineseCLIP", "Bit", "DeiT")),
    *((f"{name}ImageProcessorFast", OLD | {"crop_size": 32}) for name in ("CLIP", "DeiT", "ViT", "Beit")),
]


@pytest.mark.parametrize(("kind", "layout"), LAYOUTS, ids=repr)
def test_preprocessing_is_transformers_own(kind, layout, photographs, tmp_path):
    from transformers import AutoImageProcessor

    shared = {"do_resize": True, "do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.25]}
    key = "feature_extractor_type" if kind.endswith("FeatureExtractor") else "image_processor_type"
    config = {key: kind} | shared | layout
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    theirs, ours = AutoImageProcessor.from_pretrained(tmp_path, backend="pil"), _images.Preprocessor(config, "here")
    for path in photographs:
        wanted = theirs(Image.open(path), return_tensors="np")["pixel_values"][0]
        np.testing.assert_allclose(ours.pixels(path), wanted, atol=1e-5)


@pytest.mark.parametrize("change", [{"size": 32}, {"resample": None}], ids=["size", "resample"])
@pytest.mark.parametrize("kind", [None, "OwnImageProcessor"])
def test_what_only_an_unknown_processor_knows_is_not_guessed(kind, change):
    whole = {name: value for name, value in VIT.items() if name != "image_processor_type"}
    whole |= {} if kind is None else {"image_processor_type": kind}
    assert _images.Preprocessor(whole, "here").side() == (32, 32)
    partial = {name: value for name, value in (whole | change).items() if value is not None}
    with pytest.raises(
        InputError, match=rf"here: expected an image_processor_type among .*, found {kind}, whose .*; add"
    ):
        _images.Preprocessor(partial, "here")


def test_pictures_that_the_preprocessing_leaves_in_several_shapes_are_refused(photographs):
    free = _images.Preprocessor(DINO | {"do_center_crop": False}, "here")
    with pytest.raises(InputError, match=r"expected \(\d+, \d+\) pixels like .*, found .*; add do_center_crop and"):
        _images.stack(free.pixels, photographs)


@pytest.mark.parametrize("name", ["Bert", "Roberta", "MPNet"])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_texts_are_pooled_as_asked_and_padding_changes_nothing(name, pooling, tmp_path):
    import transformers

    words(tmp_path, "<pad>" if name == "Roberta" else "[PAD]")
    config = getattr(transformers, f"{name}Config")(vocab_size=8, max_position_embeddings=80, pad_token_id=0, **SHAPE)
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


@pytest.mark.parametrize(("name", "padding", "most"), [("Bert", 0, 80), ("Roberta", 1, 78), ("MPNet", 1, 78)])
def test_as_many_tokens_are_read_as_the_network_has_positions(name, padding, most, tmp_path):
    options = {"vocab_size": 8, "max_position_embeddings": 80, "pad_token_id": padding, **SHAPE}
    text_folder(tmp_path, f"{name}Model", **options)
    spec, long = {"kind": "transformers-text", "model": str(tmp_path), "width": 16}, ["a cat " * 60]
    assert encoders.build(spec | {"max_length": most}).encode(long).pooled.shape == (1, 16)
    words = rf"max_length: expected {most} or less, the network's positions, found {most + 1}; lower it"
    with pytest.raises(InputError, match=words):
        encoders.build(spec | {"max_length": most + 1}).encode(["a cat"])


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
