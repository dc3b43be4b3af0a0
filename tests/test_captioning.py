"""The captioner learns from captions alone to describe a latent; a killed and resumed run equals an unbroken one."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from commands import ngw
from interrupted import ends_as_unbroken
from pycocotools.coco import COCO

from ngw import io
from ngw.errors import InputError
from ngw.metrics.text import results
from ngw.tasks.captions import decoder
from ngw.tasks.captions.decoder import Options, Pretrained, Words

THINGS, PLACES = ("dog", "cat", "bird", "fish"), ("sea", "wood", "city")
TEXTS = [f"A {thing} in the {place}." for thing in THINGS for place in PLACES] * 3
TINY = Options(dims=32, layers=1, heads=2, epochs=60, batch=12, noise=0.1, learning_rate=0.01, held_out=0.1, length=10)


def latents(texts, scale=1.0):
    """A latent that says which thing and which place, [n, 16], far from the origin."""
    axes = np.random.default_rng(0).standard_normal((7, 16)).astype(np.float32)
    words = [*THINGS, *PLACES]
    rows = [axes[words.index(t.split()[1])] + axes[words.index(t.split()[-1].rstrip("."))] for t in texts]
    return 3 + scale * np.array(rows, np.float32)


def fit(options=TINY, seed=0, **more):
    return decoder.fit(TEXTS, latents(TEXTS), np.arange(len(TEXTS)) // 2, options, seed, **more)


@pytest.fixture(scope="module")
def trained():
    return fit()


def test_it_says_what_the_latent_says_whatever_its_length(trained):
    model, told = trained
    asked = TEXTS[:12]
    assert model.write(latents(asked)) == asked
    centre = model.mean.numpy()
    assert model.write(centre + 0.2 * (latents(asked) - centre)) == asked  # as a map that shrinks would have it
    assert told.curve["held_out"][0] > 1 > min(told.curve["held_out"])


def test_a_killed_run_ends_as_an_unbroken_one(tmp_path, monkeypatch):
    short = partial(fit, Options(**(vars(TINY) | {"epochs": 6})))
    ends_as_unbroken(short, decoder, "padded", 10, tmp_path, monkeypatch)


def test_a_saved_captioner_writes_the_same(trained, tmp_path):
    model, _ = trained
    model.save(tmp_path / "c", {"text": "made"})
    back, head = decoder.load(tmp_path / "c")
    assert head["text"] == "made"
    mixed = latents(TEXTS[:3]) + latents(TEXTS[5:8])
    assert back.write(mixed) == model.write(mixed)


def test_latents_of_another_encoder_than_the_captioners(trained, tmp_path, write_cloud, refused):
    trained[0].save(tmp_path / "c", {"text": "text-encoder"})
    clouds = {
        "vision": write_cloud(tmp_path / "v", "vision"),
        "text": write_cloud(tmp_path / "t", "text", encoder="other"),
    }
    clouds["train-text"] = write_cloud(tmp_path / "train", "text")
    files = {name: tmp_path / name for name in ("tables", "captions", "nearest", "record")}
    command = ngw("generate-captions", decoder=tmp_path / "c", **clouds, **files)
    refused(command, "t: expected latents of 'text-encoder', which the captioner read, found others")


def test_a_wider_search_finds_nothing_less_likely(trained):
    model, _ = trained
    asked = np.random.default_rng(1).standard_normal((6, 16)).astype(np.float32)

    def likelihood(texts):
        tokens = decoder.padded([model.words.encode(text) for text in texts])
        x = model.direction(torch.tensor(asked))
        with torch.no_grad():
            return [float(model(decoder.Batch(x[k : k + 1], tokens[k : k + 1]))) for k in range(len(texts))]

    one = Options(**(vars(TINY) | {"beams": 1}))
    wide, model.options = model.options, one
    greedy = likelihood(model.write(asked))
    model.options = wide
    assert np.mean(likelihood(model.write(asked))) <= np.mean(greedy) + 1e-3


def test_words_read_back_with_their_marks():
    texts = ["It's a well-lit room, isn't it?", "It's a well-lit room, isn't it?", "A zebra!"]
    words = Words.of(texts)
    assert words.decode(words.encode(texts[0])) == texts[0]
    assert words.encode("a zebra") == [words.place["a"], decoder.UNKNOWN, decoder.END]
    assert words.decode([decoder.END]) == ""


def test_a_language_model_of_a_folder_is_trained_on(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    vocabulary = {word: k for k, word in enumerate(["<end>", "A", "in", "the", ".", *THINGS, *PLACES])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(tmp_path / "lm")
    config = GPT2Config(vocab_size=len(vocabulary), n_embd=32, n_layer=1, n_head=2, n_positions=32)
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "lm")
    options = Options(**(vars(TINY) | {"model": str(tmp_path / "lm"), "epochs": 60}))
    model, _ = fit(options)
    assert isinstance(model.words, Pretrained)
    said = model.write(latents(TEXTS[:12]))
    assert (
        np.mean(
            [
                set(a.lower().split()) == set(b.lower().replace(".", " .").split())
                for a, b in zip(said, TEXTS, strict=False)
            ]
        )
        > 0.5
    )


def test_the_results_file_is_cocos(tmp_path):
    decoder.write_results(tmp_path / "r.json", [3, 5], ["A dog.", ""])
    assert json.loads((tmp_path / "r.json").read_text()) == [
        {"image_id": 3, "caption": "A dog."}, {"image_id": 5, "caption": ""},
    ]  # fmt: skip
    captions = results(io.read_json(tmp_path / "r.json"), "r.json")
    assert captions == {3: "A dog.", 5: ""}
    index = COCO()
    index.dataset = {"images": [{"id": image} for image in (3, 5)]}
    index.createIndex()
    loaded = index.loadRes(str(tmp_path / "r.json"))
    assert {image: entry["caption"] for image, (entry,) in loaded.imgToAnns.items()} == captions
    # It takes one image twice and another not at all, which `results` and `check` refuse.
    assert len(index.loadRes([{"image_id": 3, "caption": "A dog."}] * 2).imgToAnns[3]) == 2


def test_bad_input_is_told(trained, tmp_path):
    with pytest.raises(InputError, match=r"expected \[n, 16\], found \[2, 15\]; map them to the text space"):
        trained[0].write(np.zeros((2, 15), np.float32))
    with pytest.raises(InputError, match="expected a latent for each, found 36 texts and 2 latents"):
        decoder.fit(TEXTS, latents(TEXTS[:2]), np.arange(36), TINY, 0)
    with pytest.raises(InputError, match="words that occur 2 times, found none"):
        Words.of(["one", "two"])
    with pytest.raises(InputError, match="captioner: beams: expected more than 0, found 0"):
        Options(beams=0)
    with pytest.raises(InputError, match="a caption for each of 1 images, once, found 2 captions of 2 ids"):
        decoder.write_results(tmp_path / "r.json", [3, 3], ["a", "b"])
    with pytest.raises(InputError, match="another layout"):
        results({"a": 1}, "r.json")
    with pytest.raises(InputError, match="each image once, found 1 doubles"):
        results([{"image_id": 1, "caption": "a"}] * 2, "r.json")
