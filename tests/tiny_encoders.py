"""Tiny encoders with random weights in folders of the Hugging Face format, for the tests of encoders."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
BERT = {"vocab_size": 8, "max_position_embeddings": 80, "pad_token_id": 0, **SHAPE}
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


def words(folder, pad: str = "[PAD]", post=None):
    """A tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = [pad, "[UNK]", "<s>", "</s>", "a", "cat", "dog", "query:"]
    found = Tokenizer(models.WordLevel({word: k for k, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    found.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    found.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    found.save(str(folder / "tokenizer.json"))


def text_folder(where: Path, model: str, **options) -> Path:
    """A text network of `transformers` with random weights, and a tokenizer of whole words."""
    import transformers

    torch.manual_seed(0)
    cls = getattr(transformers, model)
    cls(cls.config_class(**options)).eval().save_pretrained(where)
    words(where, "<pad>" if model.startswith("Roberta") else "[PAD]")
    return where


def edit(where: Path, change, file: str = "model.safetensors") -> None:
    """Change a folder's weights, {name: tensor}."""
    found = change(load_file(where / file))
    save_file({name: value.contiguous() for name, value in found.items()}, where / file, {"format": "pt"})


def sentence_folder(where: Path) -> Path:
    """A model as sentence-transformers saves it: a tiny BERT, the mean over its words, a dense layer, unit length."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import PreTrainedTokenizerFast

    trunk = text_folder(where / "trunk", "BertModel", **BERT)
    own = {"tokenizer_file": str(trunk / "tokenizer.json"), "pad_token": "[PAD]", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(**own).save_pretrained(trunk)
    parts = [modules.Transformer(str(trunk)), modules.Pooling(16, "mean"), modules.Dense(16, 6), modules.Normalize()]
    model = SentenceTransformer(modules=parts, device="cpu", prompts={"query": "query: "})
    model.save(str(where / "model"), create_model_card=False)
    return where / "model"
