"""Encoders in the Hugging Face format: each family's real code on tiny random weights, preprocessing, the hub."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ngw import encoders
from ngw.encoders import _huggingface, _images
from ngw.errors import InputError

SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VIT = {
    "image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 32, "width": 32}, "resample": 2,
    "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}  # fmt: skip
DINO = VIT | {
    "image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 40}, "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32}, "resample": 3, "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225], "do_convert_rgb": True,
}  # fmt: skip
CLIP = DINO | {"image_processor_type": "CLIPImageProcessor"}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> list[str]:
    """Three pictures of noise, wide, tall and small."""
    folder, draw = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    paths = []
    for k, size in enumerate([(60, 90), (81, 50), (24, 20)]):
        Image.fromarray(draw.integers(0, 256, (*size, 3), np.uint8)).save(folder / f"{k}.png")
        paths.append(str(folder / f"{k}.png"))
    return paths


def vision_folder(folder, name: str):
    """A folder as `save_pretrained` writes it, of a vision network with random weights."""
    import transformers

    configs = {
        "vit": ("ViTConfig", "ViTModel", {"patch_size": 8, "image_size": 32, **SHAPE}, VIT),
        "dinov2": ("Dinov2Config", "Dinov2Model", {"patch_size": 8, "image_size": 48, "mlp_ratio": 2, **SHAPE}, DINO),
        "dinov2-with-registers": (
            "Dinov2WithRegistersConfig", "Dinov2WithRegistersModel",
            {"patch_size": 8, "image_size": 32, "num_register_tokens": 3, **SHAPE}, DINO,
        ),
    }  # fmt: skip
    config, model, options, preprocessor = configs[name]
    options.pop("intermediate_size") if name != "vit" else None
    torch.manual_seed(0)
    network = getattr(transformers, model)(getattr(transformers, config)(**options)).eval()
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return network


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


def words(folder, pad: str = "[PAD]", post=None):
    """A tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = [pad, "[UNK]", "<s>", "</s>", "a", "cat", "dog", "query:"]
    found = Tokenizer(models.WordLevel({word: k for k, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    found.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    found.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    found.save(str(folder / "tokenizer.json"))


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
    encoder.model  # noqa: B018 (loads)
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


# Images of every mode.


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "1", "RGB", "LA", "RGBA", "I;16"])
def test_every_mode_becomes_rgb(mode, tmp_path):
    grey = Image.new("L", (8, 6), 200)
    image = Image.fromarray(np.full((6, 8), 200 * 257, np.uint16)) if mode == "I;16" else grey.convert(mode)
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    image.save(path)
    found = np.asarray(_images.read(str(path)))
    assert found.shape == (6, 8, 3)
    if mode not in ("1", "I;16"):
        assert np.abs(found.astype(int) - 200).max() <= 2


def test_transparency_shows_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[0, 0] = (10, 20, 30, 255)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    found = np.asarray(_images.read(str(tmp_path / "x.png")))
    assert found[0, 0].tolist() == [10, 20, 30]
    assert (found[1:] == 255).all()


def test_a_picture_stands_as_its_camera_was_held(tmp_path):
    image = Image.new("RGB", (10, 6), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    image.save(tmp_path / "x.png", exif=exif)
    found = _images.read(str(tmp_path / "x.png"))
    assert found.size == (6, 10)
    assert found.getpixel((5, 0)) == (255, 255, 255)


def test_an_image_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    Image.new("L", (60, 60)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=r"huge\.png: expected a readable image, found .*exceeds limit"):
        _images.read(str(tmp_path / "huge.png"))


# Folders and the hub.


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
        "revision": (made(errors.RevisionNotFoundError), "expected the revision 'abc', found no su"),
        "repository": (made(errors.RepositoryNotFoundError), "expected a public model of that name"),
        "network": (ConnectionError("no route"), r"found neither \(no route\); where the network is open run"),
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
    with pytest.raises(ValueError, match="image size"):  # transformers' own words
        encoders.build(spec | {"width": 16}).encode(photographs)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 32}))
    with pytest.raises(InputError, match="expected an image processor's settings, found no 'image_mean'"):
        encoders.build(spec | {"width": 16}).encode(photographs)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"preprocessor_config\.json: no such file"):
        encoders.build(spec | {"width": 16}).encode(photographs)


def test_options_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="pooling is cls or mean, not 'max'"):
        encoders.build({"kind": "transformers-vision", "pooling": "max"})
    with pytest.raises(InputError, match="precision is one of float32, bfloat16, float16, not 'int8'"):
        encoders.build({"kind": "transformers-text", "precision": "int8"})


# Two trunks averaged.


@pytest.fixture
def twins(tmp_path):
    """Folders of a ViT and of a BERT of one shape, and one of another depth."""
    import transformers

    vision_folder(tmp_path / "vit", "vit")
    (tmp_path / "bert").mkdir()
    words(tmp_path / "bert")
    for name, layers in (("bert", 2), ("deep", 3)):
        torch.manual_seed(layers)
        shape = {**SHAPE, "num_hidden_layers": layers, "max_position_embeddings": 40}
        transformers.BertModel(transformers.BertConfig(vocab_size=8, **shape)).save_pretrained(tmp_path / name)
    return tmp_path


def test_the_mean_of_two_trunks_is_one_trunk_for_both_sides(twins):
    from ngw.encoders._merge import trunk

    sides = {"vit": {"kind": "transformers-vision"}, "bert": {"kind": "transformers-text"}}
    specs = {name: {**spec, "model": str(twins / name), "width": 16} for name, spec in sides.items()}
    plain = {name: encoders.build(spec) for name, spec in specs.items()}
    other = {"vit": str(twins / "bert"), "bert": str(twins / "vit")}
    merged = {
        name: encoders.build({**spec, "merged_with": other[name], "merge_weight": 0.25 if name == "vit" else 0.75})
        for name, spec in specs.items()
    }
    own = [trunk(plain["vit"].model), trunk(plain["bert"].loaded[1])]
    both = [trunk(merged["vit"].model), trunk(merged["bert"].loaded[1])]
    assert len(own[0]) == 2 * 6 * 2  # layers, linear maps, weight and bias
    for key, value in own[0].items():
        wanted = 0.75 * value + 0.25 * own[1][key]
        torch.testing.assert_close(both[0][key], wanted)
        torch.testing.assert_close(both[1][key], wanted)
    assert "merged with 0.25 of" in merged["vit"].version


def test_no_weight_of_the_other_changes_nothing_and_some_does(twins, photographs):
    spec = {"kind": "transformers-vision", "model": str(twins / "vit"), "width": 16}
    plain = encoders.build(spec).encode(photographs).pooled
    merged = {**spec, "merged_with": str(twins / "bert")}
    np.testing.assert_array_equal(encoders.build({**merged, "merge_weight": 0.0}).encode(photographs).pooled, plain)
    assert not np.allclose(encoders.build(merged).encode(photographs).pooled, plain, atol=1e-3)


def test_trunks_of_other_shapes_are_refused(twins, photographs):
    spec = {"kind": "transformers-vision", "model": str(twins / "vit"), "width": 16, "merged_with": str(twins / "deep")}
    with pytest.raises(InputError, match=r"layer 2, query weight: expected one shape, found None in .*vit and"):
        encoders.build(spec).encode(photographs)
    with pytest.raises(InputError, match=r"merge_weight is in \[0, 1\], not 2"):
        encoders.build({**spec, "merge_weight": 2.0})
