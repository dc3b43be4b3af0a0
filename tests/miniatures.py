"""The paper's inputs in miniature: COCO, Flickr30k and VQA v2 in their official files, and models with tiny weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (240, 240, 240)}
THINGS = ("ball", "house", "boat", "tree", "car", "lamp")
SHAPE = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
PIXELS = {
    "do_resize": True, "size": {"shortest_edge": 36}, "do_center_crop": True, "crop_size": {"height": 32, "width": 32},
    "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3, "do_convert_rgb": True,
}  # fmt: skip


def said(k: int) -> list[str]:
    """Five captions of image k."""
    colour, thing = list(COLOURS)[k % 4], THINGS[k % 6]
    return [
        f"A {colour} {thing}.",
        f"The {thing} is {colour}.",
        f"{colour} {thing} here",
        f"a {thing}",
        f"all {colour}",
    ]


def picture(path: Path, k: int) -> None:
    """Image k: its colour, and a bar whose place is its thing's."""
    pixels = np.random.default_rng(k).normal(0, 6, (40, 48, 3)) + np.array(list(COLOURS.values())[k % 4])
    pixels[:, 7 * (k % 6) : 7 * (k % 6) + 6] = 128
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)


def karpathy(folder: Path, name: str, images: str, splits: list[str], coco: bool) -> None:
    """A Karpathy split file, and its images where the official archives put them."""
    entries = []
    for k, split in enumerate(splits):
        sentences = [{"raw": text, "sentid": 5 * k + i, "imgid": k, "tokens": []} for i, text in enumerate(said(k))]
        entry = {"imgid": k, "split": split, "sentences": sentences, "filename": f"{1000 + k}.jpg"}
        if coco:
            subset = "train2014" if split in ("train", "restval") else "val2014"
            entry |= {"cocoid": k, "filepath": subset, "filename": f"COCO_{subset}_{k:012d}.jpg"}
        entries.append(entry)
        picture(folder / images / entry.get("filepath", "") / entry["filename"], k)
    (folder / name).write_text(json.dumps({"images": entries}))


def vqa(folder: Path, subset: str, ids: range, answered: bool) -> None:
    """The official question and annotation files of a subset; two questions an image."""
    questions, annotations = [], []
    for k in ids:
        colour, thing = list(COLOURS)[k % 4], THINGS[k % 6]
        for j, (text, kind, answer, about) in enumerate([
            ("What color is it?", "what color is", colour, "other"),
            (f"Is it a {thing}?", "is it a", "yes", "yes/no"),
        ]):  # fmt: skip
            number = 10 * k + j
            questions.append({"question_id": number, "image_id": k, "question": text})
            annotations.append({
                "question_id": number, "image_id": k, "question_type": kind, "answer_type": about,
                "multiple_choice_answer": answer,
                "answers": [{"answer": answer, "answer_confidence": "yes", "answer_id": n + 1} for n in range(10)],
            })  # fmt: skip
    (folder / f"v2_OpenEnded_mscoco_{subset}_questions.json").write_text(json.dumps({"questions": questions}))
    if answered:
        (folder / f"v2_mscoco_{subset}_annotations.json").write_text(json.dumps({"annotations": annotations}))


def data(root: Path) -> None:
    """data/coco and data/flickr30k: 40, 4 and 12 images each; 24 of VQA's training images, 8 of val, 4 of test-dev."""
    splits = ["train"] * 32 + ["restval"] * 8 + ["val"] * 4 + ["test"] * 12
    (root / "coco").mkdir(parents=True)
    karpathy(root / "coco", "dataset_coco.json", "", splits, coco=True)
    flickr = ["train"] * 40 + ["val"] * 4 + ["test"] * 12
    (root / "flickr30k").mkdir()
    karpathy(root / "flickr30k", "dataset_flickr30k.json", "flickr30k-images", flickr, coco=False)
    vqa(root / "coco", "train2014", range(24), answered=True)
    vqa(root / "coco", "val2014", range(44, 52), answered=True)
    vqa(root / "coco", "test-dev2015", range(60, 64), answered=False)
    for k in range(60, 64):
        picture(root / "coco" / "test2015" / f"COCO_test2015_{k:012d}.jpg", k)


def words(folder: Path) -> int:
    """A tokenizer of whole words as a fast one of transformers; returns how many tokens it has."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    marks = ["[PAD]", "[UNK]", "<s>", "</s>"]
    known = [*marks, *COLOURS, *THINGS, "a", "the", "is", "it", "here", "all", "what", "color", ".", "?"]
    found = Tokenizer(models.WordLevel({word: k for k, word in enumerate(known)}, unk_token="[UNK]"))
    found.normalizer, found.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    found.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    PreTrainedTokenizerFast(tokenizer_object=found, pad_token="[PAD]", eos_token="</s>").save_pretrained(folder)
    return len(known)


def models(root: Path) -> None:
    """models/: a DINOv2, a BERT, a CLIP, a GPT-2 and an autoencoder of diffusers, with random weights."""
    import torch
    import transformers as t
    from diffusers import AutoencoderTiny

    torch.manual_seed(0)
    vision = t.Dinov2Config(patch_size=8, image_size=32, mlp_ratio=2, **{k: v for k, v in SHAPE.items() if k[0] != "i"})
    t.Dinov2Model(vision).save_pretrained(root / "dinov2")
    (root / "dinov2" / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    size = words(root / "bert")
    t.BertModel(t.BertConfig(vocab_size=size, **SHAPE)).save_pretrained(root / "bert")
    words(root / "clip")
    tower = {**SHAPE, "projection_dim": 16}
    text = {**tower, "vocab_size": size, "max_position_embeddings": 16, "pad_token_id": 0, "eos_token_id": 3}
    sides = {"text_config": text, "vision_config": {**tower, "image_size": 32, "patch_size": 8}}
    t.CLIPModel(t.CLIPConfig(**sides, projection_dim=16)).save_pretrained(root / "clip")
    (root / "clip" / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    words(root / "gpt2")
    gpt2 = t.GPT2Config(vocab_size=size, n_embd=32, n_layer=1, n_head=2, n_positions=48, pad_token_id=0)
    t.GPT2LMHeadModel(gpt2).save_pretrained(root / "gpt2")
    blocks = {"encoder_block_out_channels": (16, 16), "decoder_block_out_channels": (16, 16)}
    layers = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    AutoencoderTiny(latent_channels=4, **blocks, **layers).save_pretrained(root / "vae")


def config(models: Path) -> str:
    """What makes paper.yaml a miniature: the models' folders, and smaller numbers; its rules and kinds stay."""
    tower = "size: 16, patch: 8, dims: 16, layers: 1, heads: 2, width: 8, words: 12, steps: 4, batch: 8"
    return f"""
encoders:
  dinov2-large: {{model: "{models}/dinov2", width: 32}}
  mpnet: {{model: "{models}/bert", width: 32}}
methods:
  ngw: {{steps: 20, dims: 16}}
  joint: {{{tower}}}
  joint-pretrained: {{model: "{models}/clip", width: 16}}
fusions:
  ngw-fusion: {{dims: 8, hidden: 8, width: 8}}
  concat: {{dims: 8, hidden: 8, width: 8}}
  joint: {{size: 16, patch: 8, dims: 16, layers: 1, heads: 2, epochs: 1}}
scorers:
  clip-vit-l14: {{model: "{models}/clip"}}
run:
  datasets: [coco]
  encoder_pairs: [[dinov2-large, mpnet]]
  seeds: [0]
  pairs: [0, 20, all]
  shards: 2
tables:
  retrieval:
    methods: [ngw, cca, random, joint, joint-pretrained]
    only: [{{method: joint, pairs: [all], seeds: [0]}}]
  classification: null
  identifiability: null
  ablations: null
  generation:
    methods: [ngw, joint-pretrained]
    pairs: [all]
    captioner: {{model: "{models}/gpt2", prefix: 2, epochs: 1, looks: 2, length: 8, beams: 2}}
    images: {{count: 10, network: dinov2-large, axes: 4}}
    imager: {{vae: "{models}/vae", size: 16, dims: 16, layers: 1, heads: 2, epochs: 1, looks: 2, steps: 2, batch: 16}}
  vqa:
    fusions: [ngw-fusion, concat, joint, prior]
    curve: [concat]
    labels: [50]
    tokens: 16
    min_count: 1
    training: {{epochs: 1, batch: 16, looks: 2}}
    examples: [ngw-fusion]
    only: [{{fusion: joint, seeds: [0]}}]
"""
