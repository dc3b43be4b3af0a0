"""Joint training from scratch: a CLIP of `transformers`, from a config, on raw pixels and words.

It is a baseline of the benchmark (Radford et al. 2021, arXiv:2103.00020), and the scorer of generated pictures where
no published CLIP is available. The result is a folder in the Hugging Face format, which `ngw.encoders.clip` reads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ngw import io
from ngw.device import device
from ngw.encoders import _huggingface
from ngw.errors import InputError
from ngw.methods.joint import Joint
from ngw.nn import distributed
from ngw.nn.losses import infonce
from ngw.nn.training import Schedule, Trained, train
from ngw.seeds import entropy, rng
from ngw.tasks.captions.decoder import WORD
from ngw.tasks.images.codec import square
from ngw.tasks.vqa.labels import held_out

SPECIAL = ("[PAD]", "[UNK]", "[START]", "[END]")
MEAN, DEVIATION = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
MOST_SCALE = 100.0  # of the logits, as in CLIP


class Batch(NamedTuple):
    """Pixels [b, 3, s, s] of b images and token ids [b, t] of a caption of each."""

    pixels: Tensor
    tokens: Tensor


def tokenizer(texts: Sequence[str], words: int):
    """A tokenizer of whole words, in lower case, with start and end tokens."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    known = sorted({word for text in texts for word in WORD.findall(text.lower())})
    vocabulary = {word: k for k, word in enumerate((*SPECIAL, *known))}
    splitter = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    splitter.normalizer = normalizers.Lowercase()
    splitter.pre_tokenizer = pre_tokenizers.Split(Regex(WORD.pattern), "removed", invert=True)
    splitter.post_processor = processors.TemplateProcessing(
        single="[START] $A [END]", special_tokens=[(mark, vocabulary[mark]) for mark in ("[START]", "[END]")]
    )
    splitter.enable_truncation(words)
    splitter.enable_padding(pad_id=0, pad_token="[PAD]")
    return splitter


def network(options: Joint, vocabulary: int, seed: int) -> nn.Module:
    """A CLIP with random weights."""
    from transformers import CLIPConfig, CLIPModel

    tower = {
        "hidden_size": options.dims, "intermediate_size": 4 * options.dims, "num_hidden_layers": options.layers,
        "num_attention_heads": options.heads, "projection_dim": options.width,
    }  # fmt: skip
    config = CLIPConfig(
        text_config={
            **tower, "vocab_size": vocabulary, "max_position_embeddings": options.words, "pad_token_id": 0,
            "bos_token_id": 2, "eos_token_id": 3,
        },
        vision_config={**tower, "image_size": options.size, "patch_size": options.patch},
        projection_dim=options.width,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(entropy(seed, "joint", "weights") % 2**63)
        return CLIPModel(config)


def contrastive(model: nn.Module, batch: Batch, parts: int = 1) -> Tensor:
    """CLIP's symmetric cross-entropy over a batch of different images.

    parts: pieces of the batch; only one at a time holds its activations, which are computed again in the backward pass
    (Chen et al. 2016), so the gradient is the whole batch's, with all negatives, at the memory of a part.
    Each of several processes has its own rows of the batch, and all rows are one another's negatives.
    """
    embedded = _embedded if parts == 1 else partial(checkpoint, _embedded, use_reentrant=False)
    pieces = zip(batch.pixels.chunk(parts), batch.tokens.chunk(parts), strict=True)
    texts, images = (torch.cat(side) for side in zip(*(embedded(model, *piece) for piece in pieces), strict=True))
    texts, images = distributed.together(texts), distributed.together(images)
    scale = model.logit_scale.exp().clamp(max=MOST_SCALE)
    return infonce(scale * texts @ images.T)


def _embedded(model: nn.Module, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors [b, width] of texts and of images."""
    output = model(input_ids=tokens, pixel_values=pixels, attention_mask=(tokens != 0).long())
    return output.text_embeds, output.image_embeds


def fit(
    paths: Sequence[str], captions: Sequence[Sequence[str]], image_ids: np.ndarray, options: Joint, seed: int,
    saved: Path | None = None, identity: str = "",
) -> tuple[nn.Module, Any, Trained]:  # fmt: skip
    """Train on image files and the captions of each; held-out images choose the step.  saved: the checkpoint.

    Returns the network, its tokenizer and the course of training.
    """
    if len(paths) != len(captions) or len(paths) < 4:
        raise InputError(f"joint: expected 4 images or more with captions each, found {len(paths)}; give more pairs.")
    words = tokenizer([text for texts in captions for text in texts], options.words)
    model, where = network(options, words.get_vocab_size(), seed), device()
    model.to(where)
    pixels = stored(paths, options.size)
    held = held_out(image_ids, max(options.held_out, 2 / len(paths)), seed)
    training, kept = np.flatnonzero(~held), np.flatnonzero(held)[:256]
    size = min(options.batch, len(training))
    tokens = [[row.ids for row in words.encode_batch(list(texts))] for texts in captions]

    def made(rows: np.ndarray, draw: np.random.Generator, crop: float) -> Batch:
        chosen = [tokens[k][draw.integers(len(tokens[k]))] for k in rows]
        return Batch(cropped(pixels[rows], options.size, crop, draw).to(where), padded(chosen).to(where))

    def batch(step: int) -> Batch:
        draw = rng(seed, "joint", "batch", step)
        return made(distributed.part(draw.permutation(training)[:size]), draw, options.crop)

    def error() -> float:
        with torch.no_grad():
            return float(contrastive(model, made(distributed.part(kept), rng(seed, "joint", "held out"), 1.0)))

    every = max(1, -(-options.steps // options.looks))
    warmup = round(options.warmup * options.steps)
    schedule = Schedule(
        options.steps, options.learning_rate, every, options.patience, warmup=warmup, precision=options.precision
    )
    parameters, loss = dict(model.named_parameters()), partial(contrastive, model, parts=options.parts)
    trained = train(parameters, batch, loss, error, schedule, saved, identity, label="joint")
    return model.eval().cpu(), words, trained


def stored(paths: Sequence[str], size: int, crops: bool = True) -> Tensor:
    """Image files, uint8 [n, 3, s, s], a quarter larger than `size`, so that crops lose nothing; or only their middle.

    The array is allocated first: 27 GB for COCO at 224 pixels, which a list of images would double.
    """
    side = size + size // 4
    kept, margin = (side, 0) if crops else (size, (side - size) // 2)
    pixels = np.empty((len(paths), kept, kept, 3), np.uint8)
    for row, path in zip(pixels, paths, strict=True):
        row[...] = np.asarray(square(path, side))[margin : margin + kept, margin : margin + kept]
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def cropped(pixels: Tensor, size: int, least: float, draw: np.random.Generator) -> Tensor:
    """Random square crops of a share `least` of the area or more, resized; float32 [b, 3, size, size] in [-1, 1].

    Images are not mirrored or recoloured, since captions name sides and colours.
    """
    b = len(pixels)
    scale = np.sqrt(draw.uniform(least, 1, b))
    centre = draw.uniform(-1, 1, (b, 2)) * (1 - scale[:, None])
    theta = np.zeros((b, 2, 3))
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = centre
    grid = nn.functional.affine_grid(torch.tensor(theta, dtype=torch.float32), (b, 3, size, size), align_corners=False)
    return nn.functional.grid_sample(
        pixels.float() / 127.5 - 1, grid, padding_mode="reflection", align_corners=False
    ).clamp(-1, 1)


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Token rows without their common padding, [b, longest]."""
    longest = max(sum(t != 0 for t in row) for row in rows)
    return torch.tensor([([*row, *[0] * longest])[:longest] for row in rows])


def save(folder: str | os.PathLike, model: nn.Module, words: Any, size: int, about: Mapping[str, Any]) -> None:
    """Write the four files that `ngw.encoders.clip` reads, and joint.json: the training, and their digests.

    All files are written, or none. config.json says that joint.json belongs to the folder.
    """
    model.config.record = _huggingface.RECORD
    with io.atomic(folder) as made:
        model.save_pretrained(made)
        words.save(str(made / "tokenizer.json"))
        io.write_json(made / "preprocessor_config.json", {
            "image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": size},
            "do_center_crop": True, "crop_size": {"height": size, "width": size}, "resample": 3, "do_normalize": True,
            "image_mean": MEAN, "image_std": DEVIATION, "do_rescale": True, "rescale_factor": 1 / 255,
            "do_convert_rgb": True,
        })  # fmt: skip
        io.write_record(made / _huggingface.RECORD, about, sorted(made.iterdir()))
