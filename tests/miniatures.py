"""The paper's inputs in miniature: COCO, Flickr30k and VQA v2 in their official files, and models with tiny weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from ngw.rehearsal import layouts, networks
from ngw.rehearsal.layouts import Asked, Captioned
from ngw.rehearsal.networks import SHAPE

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (240, 240, 240)}
THINGS = ("ball", "house", "boat", "tree", "car", "lamp")
WORDS = [*COLOURS, *THINGS, "a", "the", "is", "it", "here", "all", "what", "color", ".", "?"]


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


def karpathy(file: Path, images: str, splits: list[str], coco: bool) -> None:
    """A Karpathy split file, and its images where the official archives put them."""
    rows = [Captioned(k if coco else 1000 + k, split, said(k)) for k, split in enumerate(splits)]
    for k, path in enumerate(layouts.karpathy(file, rows, coco)):
        picture(file.parent / images / path, k)


def vqa(folder: Path, subset: str, ids: range, answered: bool) -> None:
    """The official question and annotation files of a subset; two questions an image."""
    asked = []
    for k in ids:
        colour, thing = list(COLOURS)[k % 4], THINGS[k % 6]
        asked.append(Asked(10 * k, k, "What color is it?", "what color is", "other", [colour] * 10))
        asked.append(Asked(10 * k + 1, k, f"Is it a {thing}?", "is it a", "yes/no", ["yes"] * 10))
    layouts.vqa(folder, subset, asked, answered)


def data(root: Path) -> None:
    """data/coco and data/flickr30k: 40, 4 and 12 images each; 24 of VQA's training images, 8 of val, 4 of test-dev."""
    splits = ["train"] * 32 + ["restval"] * 8 + ["val"] * 4 + ["test"] * 12
    karpathy(root / "coco/dataset_coco.json", "", splits, coco=True)
    flickr = ["train"] * 40 + ["val"] * 4 + ["test"] * 12
    karpathy(root / "flickr30k/dataset_flickr30k.json", "flickr30k-images", flickr, coco=False)
    vqa(root / "coco", "train2014", range(24), answered=True)
    vqa(root / "coco", "val2014", range(44, 52), answered=True)
    vqa(root / "coco", "test-dev2015", range(60, 64), answered=False)
    for k in range(60, 64):
        picture(root / "coco" / layouts.coco_image(k, "test2015"), k)


def models(root: Path) -> None:
    """models/: a DINOv2, a BERT, a CLIP, a GPT-2 and an autoencoder of diffusers, with random weights."""
    import torch
    import transformers as t

    torch.manual_seed(0)
    vision = t.Dinov2Config(patch_size=8, image_size=32, mlp_ratio=2, **{k: v for k, v in SHAPE.items() if k[0] != "i"})
    t.Dinov2Model(vision).save_pretrained(root / "dinov2")
    (root / "dinov2" / "preprocessor_config.json").write_text(json.dumps(networks.preprocessor(32)))
    size = networks.tokenizer(root / "bert", WORDS)
    t.BertModel(t.BertConfig(vocab_size=size, **SHAPE)).save_pretrained(root / "bert")
    networks.clip(root / "clip", WORDS, size=32, patch=8, length=16)
    networks.gpt2(root / "gpt2", WORDS, length=48)
    networks.autoencoder(root / "vae", halvings=1)


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
