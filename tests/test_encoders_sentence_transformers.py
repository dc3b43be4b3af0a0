"""Models of sentence-transformers by name: its own loader on tiny weights, and the rules of every encoder."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from tiny_encoders import edit, sentence_folder

from ngw import encoders
from ngw.dual import sides
from ngw.errors import InputError

TEXTS = ["a cat", "a dog a cat", "dog"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return sentence_folder(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of the model, to change."""
    return shutil.copytree(saved, tmp_path / "model")


def build(folder, **options):
    return encoders.build({"kind": "sentence-transformers", "model": str(folder), "width": 6, **options})


def refused(folder, words, **options):
    with pytest.raises(InputError, match=words):
        build(folder, **options).encode(["a cat"])


def test_features_are_the_modules_by_hand(saved):
    from safetensors.torch import load_file
    from transformers import AutoModel

    dense, trunk = load_file(saved / "2_Dense" / "model.safetensors"), AutoModel.from_pretrained(saved).eval()
    found = build(saved).encode(TEXTS).pooled
    assert found.dtype == np.float32
    for words, row in zip(([2, 4, 5, 3], [2, 4, 6, 4, 5, 3], [2, 6, 3]), found, strict=True):
        with torch.inference_mode():
            mean = trunk(input_ids=torch.tensor([words])).last_hidden_state[0].mean(0)
            x = torch.tanh(dense["linear.weight"] @ mean + dense["linear.bias"])
        np.testing.assert_allclose(row, (x / x.norm()).numpy(), atol=1e-5)


def test_features_are_the_library_s_own_and_do_not_depend_on_the_batch(saved):
    from sentence_transformers import SentenceTransformer

    encoder = build(saved)
    together = encoder.encode(TEXTS).pooled
    np.testing.assert_allclose(together, SentenceTransformer(str(saved), device="cpu").encode(TEXTS), atol=1e-6)
    np.testing.assert_allclose(together, np.concatenate([encoder.encode([t]).pooled for t in TEXTS]), atol=1e-5)
    np.testing.assert_allclose(together, encoder.encode(TEXTS[::-1]).pooled[::-1], atol=1e-5)


def test_the_package_s_model_is_the_one_that_transformers_text_computes():
    own = encoders.build({"kind": "sentence-transformers"})
    plain = encoders.build({"kind": "transformers-text", "max_length": 256})  # the model's own limit
    texts = ["A dog runs on the grass.", "word " * 400]
    np.testing.assert_allclose(own.encode(texts).pooled, plain.encode(texts).pooled, atol=1e-5)
    np.testing.assert_array_equal(own.count_tokens(texts), plain.count_tokens(texts))
    assert own.n_tokens == 256
    assert own.card()["licence"] == "Apache-2.0"


def test_texts_are_cut_where_the_model_or_the_entry_says(saved):
    assert build(saved).n_tokens == 80
    with pytest.raises(InputError, match="max_length: expected 80 or less, the network's positions, found 81; lower"):
        build(saved, max_length=81).encode(TEXTS)
    short = build(saved, max_length=4)
    assert short.n_tokens == 4
    assert short.count_tokens(TEXTS).tolist() == [4, 4, 3]
    first, second = short.encode(["a cat", "a cat dog dog dog"]).pooled
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert "cut at 4 tokens" in short.preprocessing


def test_a_prompt_stands_before_each_text_by_its_name_or_itself(saved):
    wanted = build(saved).encode(["query: a cat"]).pooled
    for options in ({"prompt_name": "query"}, {"prompt": "query: "}):
        encoder = build(saved, **options)
        np.testing.assert_allclose(encoder.encode(["a cat"]).pooled, wanted, atol=1e-6)
        assert encoder.count_tokens(["a cat"]).tolist() == [5]
        assert "quer" in encoder.preprocessing
    assert not np.allclose(build(saved).encode(["a cat"]).pooled, wanted, atol=1e-3)
    refused(saved, "the model has no prompt 'qeury'. Did you mean 'query'", prompt_name="qeury")


def test_its_digest_is_that_of_its_weights_wherever_they_lie(folder, saved):
    assert build(folder).sources() == [str(folder)]
    assert sides.identity(build(folder)) == sides.identity(build(saved))
    assert sides.identity(build(folder, prompt="a")) != sides.identity(build(saved))
    edit(folder / "2_Dense", lambda weights: {**weights, "linear.bias": weights["linear.bias"] + 1})
    assert sides.identity(build(folder)) != sides.identity(build(saved))


def test_what_does_not_belong_together_is_refused(folder):
    refused(folder, "expected width 7, found 6; mend `width`", width=7)
    with pytest.raises(InputError, match="gives pooled features only; take transformers-text"):
        build(folder).encode(["a"], tokens=True)
    edit(folder, lambda weights: {name: w for name, w in weights.items() if "layer.1" not in name})
    refused(folder, r"expected the weights of a BertModel, found 16 of its weights missing \(encoder\.layer\.1")


def test_a_dense_layer_without_its_weights_is_refused(folder):
    edit(folder / "2_Dense", lambda weights: {"linear.weight": weights["linear.weight"]})
    refused(folder, "expected a whole model of sentence-transformers, found .*linear.bias")
    (folder / "2_Dense" / "model.safetensors").unlink()
    refused(folder, "expected a whole model of sentence-transformers, found")


def test_a_tokenizer_of_more_words_is_refused(folder):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["bird"] = 8
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    refused(folder, "expected the tokenizer of a network with 8 words, found a word with number 8; replace it")


def test_a_folder_of_another_library_and_one_with_code_are_refused(folder):
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "my_code.Pooling"
    (folder / "my_code.py").write_text("raise SystemExit('this ran')")
    (folder / "modules.json").write_text(json.dumps(modules))
    refused(
        folder, r"modules\.json: expected modules of sentence_transformers, found 'my_code\.Pooling', whose code isn't"
    )
    (folder / "modules.json").write_text('{"a": 1}')
    refused(folder, r"modules\.json: expected a list of modules, found .*; fetch the file again")
    (folder / "modules.json").unlink()
    refused(
        folder, r"modules\.json: no such file, so this is no model of sentence-transformers; take kind transformers-t"
    )


def test_a_name_is_the_hub_s_as_the_library_has_it_at_a_revision(saved, monkeypatch):
    import huggingface_hub

    asked = {}

    def snapshot(name, **how):
        asked.update(how, name=name)
        return str(saved)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    refused("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2: expected a folder, or a hub model with its")
    assert build("all-MiniLM-L6-v2", revision="abc").encode(["a cat"]).pooled.shape == (1, 6)
    assert (asked["name"], asked["revision"]) == ("sentence-transformers/all-MiniLM-L6-v2", "abc")
    assert {"modules.json", "*/config.json"} < set(asked["allow_patterns"])
    assert not [pattern for pattern in asked["allow_patterns"] if pattern.endswith((".bin", ".py"))]
    build("BAAI/bge-base-en@abc").encode(["a cat"])
    assert asked["name"] == "BAAI/bge-base-en"


def test_without_the_library_a_sentence_says_what_to_install(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # as if it weren't installed
    refused(saved, r"expected this library, found .*; pip install 'ngw\[sentence-transformers\]'")
