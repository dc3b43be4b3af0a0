"""Tiny networks with random weights, saved like pretrained ones: a CLIP, a GPT-2 and an autoencoder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

SHAPE = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
MARKS = ("[PAD]", "[UNK]", "<s>", "</s>")


def preprocessor(size: int) -> dict:
    """A preprocessor_config.json: a resize of the shorter side to slightly more than `size`, then a centre crop."""
    return {
        "do_resize": True, "size": {"shortest_edge": size + size // 8}, "do_center_crop": True,
        "crop_size": {"height": size, "width": size}, "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_convert_rgb": True,
    }  # fmt: skip


def tokenizer(folder: Path, words: Iterable[str]) -> int:
    """Write a tokenizer of whole words as a fast one of `transformers`; returns its number of tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    known = list(dict.fromkeys([*MARKS, *words]))
    splitter = Tokenizer(models.WordLevel({word: k for k, word in enumerate(known)}, unk_token="[UNK]"))
    splitter.normalizer, splitter.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    splitter.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    PreTrainedTokenizerFast(tokenizer_object=splitter, pad_token="[PAD]", eos_token="</s>").save_pretrained(folder)
    return len(known)


def clip(folder: Path, words: Iterable[str], size: int, patch: int, length: int) -> None:
    """A CLIP of width 16 that reads images of `size` pixels and texts of `length` tokens."""
    import torch
    import transformers

    torch.manual_seed(0)
    tower = {**SHAPE, "projection_dim": 16}
    text = {**tower, "vocab_size": tokenizer(folder, words), "max_position_embeddings": length}
    text |= {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    sides = {"text_config": text, "vision_config": {**tower, "image_size": size, "patch_size": patch}}
    transformers.CLIPModel(transformers.CLIPConfig(**sides, projection_dim=16)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor(size)), encoding="utf-8")


def gpt2(folder: Path, words: Iterable[str], length: int) -> None:
    """A GPT-2 that writes at most `length` tokens."""
    import torch
    import transformers

    torch.manual_seed(0)
    shape = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": length, "pad_token_id": 0}
    shape |= {"bos_token_id": 2, "eos_token_id": 3}
    config = transformers.GPT2Config(vocab_size=tokenizer(folder, words), **shape)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)


def autoencoder(folder: Path, halvings: int) -> None:
    """An autoencoder of `diffusers` whose codes have 4 channels and sides halved `halvings` times."""
    import torch
    from diffusers import AutoencoderTiny

    torch.manual_seed(0)
    blocks = (16,) * (halvings + 1)
    layers = {"num_encoder_blocks": (1,) * len(blocks), "num_decoder_blocks": (1,) * len(blocks)}
    widths = {"encoder_block_out_channels": blocks, "decoder_block_out_channels": blocks}
    AutoencoderTiny(latent_channels=4, **widths, **layers).save_pretrained(folder)
