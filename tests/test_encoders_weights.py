"""Weights that aren't the network's are refused; heads that no feature passes through may be there or not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_encoders import BERT, CLIP, SHAPE, edit, text_folder, vision_folder, words

from ngw import encoders, io
from ngw.errors import InputError
from ngw.tasks.captions import decoder
from ngw.tasks.images import codec
from ngw.tasks.joint import stages as joint_stages

SENTENCES = ["a cat", "a dog a cat"]


def text(where: Path):
    return encoders.build({"kind": "transformers-text", "model": str(where), "width": 16})


def without(part: str):
    return lambda weights: {name: value for name, value in weights.items() if part not in name}


def wider(weights):
    name = next(name for name in weights if name.endswith(("position_embeddings.weight", "position_embeddings")))
    return {**weights, name: torch.cat([weights[name], weights[name]], -2)}


FAULTS = {
    "a weight missing": (without("layer.1.output.dense.weight"), r"1 of its weights missing \(\w*\.?layers?\.1\."),
    "module.": (
        lambda weights: {f"module.{name}": value for name, value in weights.items()},
        r"\d+ of its weights missing .*; save the network that DataParallel wraps",
    ),
    "another shape": (wider, r"1 of another shape \(embeddings\.position_embeddings"),
    "a layer more": (
        lambda weights: (
            weights | {n.replace("layer.1.", "layer.2."): v + 0 for n, v in weights.items() if "layer.1." in n}
        ),
        r"\d+ that aren't its own \(\w*\.?layers?\.2\.",
    ),
    "an adapter": (
        lambda weights: {**weights, "encoder.layer.0.adapter.down": torch.zeros(2, 2)},
        r"1 that aren't its own \(\w*\.?layers?\.0\.adapter",
    ),
    "nothing of it": (lambda weights: {"other": torch.zeros(2)}, r"\d+ of its weights missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["text", "vision"])
def test_weights_that_are_not_the_networks_are_refused(kind, fault, photographs, tmp_path):
    change, found = FAULTS[fault]
    if kind == "text":
        text_folder(tmp_path, "BertModel", **BERT)
        encoder, items = text(tmp_path), SENTENCES
    else:
        vision_folder(tmp_path, "vit")
        encoder = encoders.build({"kind": "transformers-vision", "model": str(tmp_path), "width": 16})
        items = photographs
    edit(tmp_path, change)
    with pytest.raises(InputError, match=rf"expected the weights of a (Bert|ViT)Model, found .*{found}"):
        encoder.encode(items)


def test_another_models_file_is_refused(tmp_path):
    text_folder(tmp_path / "bert", "BertModel", **BERT)
    text_folder(tmp_path / "mpnet", "MPNetModel", **BERT)
    shutil.copy(tmp_path / "mpnet" / "model.safetensors", tmp_path / "bert")
    with pytest.raises(
        InputError, match=r"bert: expected the weights of a BertModel.*; replace config\.json or the we"
    ):
        text(tmp_path / "bert").encode(SENTENCES)


def test_a_tokenizer_of_more_words_than_the_network_has_is_refused(tmp_path):
    text_folder(tmp_path, "BertModel", **{**BERT, "vocab_size": 7})
    with pytest.raises(
        InputError, match=r"tokenizer\.json: expected the tokenizer of a network with 7 words, found a wo"
    ):
        text(tmp_path).encode(["a cat"])


def old_names(weights):
    """As Google's BERT is published: gamma and beta, a buffer of positions, no pooler of a classifier's."""
    new = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for name, other in new.items():
        weights = {key.replace(name, other): value for key, value in weights.items()}
    return {**weights, "bert.embeddings.position_ids": torch.arange(40)[None]}


@pytest.mark.parametrize(
    ("model", "change"),
    [
        ("BertForPreTraining", old_names),
        ("BertForMaskedLM", dict),  # without a pooler
        ("BertForSequenceClassification", dict),
        ("BertForQuestionAnswering", lambda weights: {**weights, "ranking_head.weight": torch.zeros(2)}),
        ("BertModel", lambda weights: {**weights, "embeddings.position_ids": torch.arange(40)[None]}),
        ("BertModel", without("pooler")),
        ("RobertaForMaskedLM", dict),
        ("MPNetForMaskedLM", lambda weights: {**weights, "mpnet.embeddings.position_ids": torch.arange(40)[None]}),
    ],
)
def test_a_head_that_the_encoder_does_not_use_may_be_there_or_not(model, change, tmp_path):
    text_folder(tmp_path, model, **BERT)
    expected = text(tmp_path).loaded[1]
    ids = torch.tensor([[2, 4, 5, 3]])
    edit(tmp_path, change)
    with torch.inference_mode():
        state = torch.nn.functional.normalize(expected(input_ids=ids).last_hidden_state.mean(1))
    np.testing.assert_allclose(text(tmp_path).encode(["a cat"]).pooled, state.numpy(), atol=1e-6)


def test_a_classifier_of_images_is_its_trunk(photographs, tmp_path):
    from transformers import ViTForImageClassification

    trunk = vision_folder(tmp_path / "trunk", "vit")
    vision_folder(tmp_path / "classifier", "vit")
    whole = ViTForImageClassification(trunk.config)
    whole.vit.load_state_dict(without("pooler")(trunk.state_dict()))
    whole.save_pretrained(tmp_path / "classifier")
    assert "classifier.weight" in load_file(tmp_path / "classifier" / "model.safetensors")
    spec = {"kind": "transformers-vision", "width": 16}
    first, second = (encoders.build({**spec, "model": str(tmp_path / k)}) for k in ("trunk", "classifier"))
    np.testing.assert_array_equal(first.encode(photographs).pooled, second.encode(photographs).pooled)


def test_registers_are_no_part_of_a_network_without_them(photographs, tmp_path):
    vision_folder(tmp_path, "dinov2-with-registers")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "dinov2"}))
    with pytest.raises(InputError, match=r"Dinov2Model, found 1 that aren't its own \(embeddings\.register_tokens\)"):
        encoders.build({"kind": "transformers-vision", "model": str(tmp_path), "width": 16}).encode(photographs)


def test_the_second_network_of_a_mean_is_checked_too(photographs, tmp_path):
    vision_folder(tmp_path / "vit", "vit")
    edit(text_folder(tmp_path / "bert", "BertModel", **BERT), without("layer.0.intermediate"))
    spec = {"kind": "transformers-vision", "model": str(tmp_path / "vit"), "width": 16}
    with pytest.raises(InputError, match=r"bert: expected the weights of a BertModel, found 2 of its weights missing"):
        encoders.build({**spec, "merged_with": str(tmp_path / "bert")}).encode(photographs)


# A CLIP, a captioner's language model, the image decoders' networks.


def clip(where: Path) -> Path:
    from transformers import CLIPConfig, CLIPModel

    side = {**SHAPE, "projection_dim": 8}
    ends = {"eos_token_id": 3, "bos_token_id": 2, "pad_token_id": 0}
    texts = {"vocab_size": 8, "max_position_embeddings": 20, **ends, **side}
    images = {"image_size": 32, "patch_size": 8, **side}
    CLIPModel(CLIPConfig(text_config=texts, vision_config=images, projection_dim=8)).save_pretrained(where)
    words(where)
    (where / "preprocessor_config.json").write_text(json.dumps(CLIP))
    return where


def test_a_clip_is_whole_and_its_old_buffers_are_no_weights(photographs, tmp_path):
    clip(tmp_path)
    buffers = {
        f"{side}_model.embeddings.position_ids": torch.arange(n)[None] for side, n in (("text", 20), ("vision", 17))
    }
    edit(tmp_path, lambda weights: {**weights, **buffers})
    for side, items in (("vision", photographs), ("text", SENTENCES)):
        spec = {"kind": "clip", "side": side, "model": str(tmp_path), "width": 8}
        assert encoders.build(spec).encode(items).pooled.shape == (len(items), 8)
    edit(tmp_path, without("visual_projection"))
    with pytest.raises(InputError, match=r"a CLIPModel, found 1 of its weights missing \(visual_projection\.weight\)"):
        encoders.build({"kind": "clip", "side": "vision", "model": str(tmp_path), "width": 8}).encode(photographs)


def test_towers_that_are_merged_are_checked(tmp_path):
    edit(clip(tmp_path), without("text_projection"))
    io.write_record(tmp_path / "joint.json", {})
    with pytest.raises(InputError, match=r"expected the weights of a CLIPModel, found 1 of its weights missing"):
        joint_stages.merge(tmp_path, {"kind": "weight-averaging"}, tmp_path / "out")


def test_a_captioners_language_model_is_checked_but_not_for_its_old_buffers(tmp_path):
    from transformers import PreTrainedTokenizerFast

    text_folder(tmp_path, "GPT2Model", vocab_size=8, n_embd=16, n_layer=1, n_head=2, n_positions=80)
    PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"), eos_token="</s>").save_pretrained(tmp_path)
    old = {"h.0.attn.bias": torch.ones(1, 1, 4, 4), "h.0.attn.masked_bias": torch.tensor(-1e4)}
    edit(tmp_path, lambda weights: weights | old)
    options, known = decoder.Options(model=str(tmp_path)), decoder.Pretrained(str(tmp_path))
    assert decoder.language_model(options, known).lm_head.weight.shape == (8, 16)
    edit(tmp_path, lambda weights: weights | {"h.1.ln_1.weight": torch.ones(16)})
    with pytest.raises(InputError, match=r"a GPT2LMHeadModel, found 1 that aren't its own \(h\.1\.ln_1\.weight\)"):
        decoder.language_model(options, known)
    edit(tmp_path, lambda weights: without("h.1.")(without("wpe")(weights)))
    with pytest.raises(InputError, match=r"found 1 of its weights missing \(transformer\.wpe\.weight\)"):
        decoder.language_model(options, known)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match=r"expected a tokenizer's files, found .*; replace them"):
        decoder.Pretrained(str(tmp_path))


@pytest.mark.parametrize("change", [without("encoder.layers.0"), lambda weights: {**weights, "more": torch.zeros(1)}])
def test_an_autoencoder_is_checked(change, tmp_path):
    from diffusers import AutoencoderTiny

    blocks = {f"{part}_block_out_channels": (8, 8) for part in ("encoder", "decoder")}
    layers = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    AutoencoderTiny(latent_channels=4, **blocks, **layers).save_pretrained(tmp_path)
    assert codec.codec(16, str(tmp_path)).shape == (4, 8, 8)
    edit(tmp_path, change, "diffusion_pytorch_model.safetensors")
    with pytest.raises(InputError, match=r"expected the weights of a AutoencoderTiny, found \d+ (of its|that aren't)"):
        codec.codec(16, str(tmp_path))


def test_an_autoencoder_of_older_names_is_whole(tmp_path):
    """Stable Diffusion's, as it is published: the names of its attention are from before diffusers 0.18."""
    from diffusers import AutoencoderKL

    AutoencoderKL(block_out_channels=(32,), norm_num_groups=8).save_pretrained(tmp_path)
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}

    def older(weights):
        for name, old in names.items():
            weights = {key.replace(name, old): value for key, value in weights.items()}
        return weights

    expected = codec.codec(16, str(tmp_path)).network.state_dict()
    edit(tmp_path, older, "diffusion_pytorch_model.safetensors")
    assert any(".query." in name for name in load_file(tmp_path / "diffusion_pytorch_model.safetensors"))
    found = codec.codec(16, str(tmp_path)).network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_no_folder_runs_its_own_code(tmp_path):
    text_folder(tmp_path, "BertModel", **BERT)
    (tmp_path / "mine.py").write_text("import os\nos._exit(3)\n")
    config = json.loads((tmp_path / "config.json").read_text())
    own = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}}
    (tmp_path / "config.json").write_text(json.dumps({**config, **own}))
    with pytest.raises(InputError, match=r"expected whole model files, found .*; replace them"):
        text(tmp_path).encode(["a cat"])
