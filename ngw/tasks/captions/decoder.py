"""Image to text: a decoder that learns from captions alone to write a text latent's caption; T_AB maps images to it.

A small language model reads a prefix made from the latent (ClipCap, Mokady et al., arXiv:2111.09734). In training the
latent is the caption's own, with noise, so that the decoder tolerates the gap to latents that come from images (CapDec,
Nukrai et al., EMNLP 2022). No decoder ever sees a pair.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from ngw import io
from ngw.device import device
from ngw.encoders import _huggingface
from ngw.errors import InputError
from ngw.nn.training import Schedule, Trained, train
from ngw.products import products
from ngw.seeds import entropy, rng, torch_generator
from ngw.tasks.captions.options import CaptionerOptions as Options
from ngw.tasks.vqa.labels import held_out

PAD, END, UNKNOWN = 0, 1, 2
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]")
NO_SPACE = re.compile(r" (?=[.,;:!?%)])|(?<=[(]) ")
AT_ONCE = 128  # captions written at once


class Words:
    """A vocabulary of words and punctuation marks, in lower case."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = ["", "", "", *words]  # padding, end, unknown
        self.place = {word: k for k, word in enumerate(self.words) if word}

    @classmethod
    def of(cls, texts: Sequence[str], min_count: int = 2) -> Self:
        """The vocabulary of the words that occur `min_count` times or more."""
        counts = Counter(word for text in texts for word in WORD.findall(text.lower()))
        kept = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
        if not kept:
            raise InputError(
                f"captions: expected words that occur {min_count} times, found none in {len(texts)} texts; give more."
            )
        return cls(kept)

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """A text's tokens, and the end token."""
        return [self.place.get(word, UNKNOWN) for word in WORD.findall(text.lower())] + [END]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text up to its end, with a capital at its beginning."""
        tokens = [int(t) for t in tokens]
        words = [self.words[t] for t in tokens[: tokens.index(END)] if t > UNKNOWN] if END in tokens else [
            self.words[t] for t in tokens if t > UNKNOWN
        ]  # fmt: skip
        text = NO_SPACE.sub("", " ".join(words))
        return text[:1].upper() + text[1:]


class Pretrained:
    """A folder's tokenizer, with the methods of `Words`."""

    def __init__(self, folder: str) -> None:
        from transformers import AutoTokenizer

        where = _huggingface.folder(folder)
        with _huggingface.whole(where, "a tokenizer's files"):
            self.tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=True, trust_remote_code=False)
        self.end = self.tokenizer.eos_token_id
        if self.end is None:
            raise InputError(f"{where}: expected an end token, found none; add `eos_token` to tokenizer_config.json.")

    def encode(self, text: str) -> list[int]:
        """A text's tokens, and the end token."""
        return [*self.tokenizer(text)["input_ids"], self.end]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text up to its end."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True).strip()


class Batch(NamedTuple):
    """Directions [b, d] and tokens [b, t], -100 beyond the end."""

    latents: Tensor
    tokens: Tensor


class Captioner(nn.Module):
    """A language model behind a prefix of k tokens made from a latent's direction from the texts' mean."""

    def __init__(self, options: Options, words: Words | Pretrained, mean: np.ndarray, seed: int) -> None:
        super().__init__()
        self.options, self.words = options, words
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(entropy(seed, "captioning", "weights") % 2**63)
            self.lm = language_model(options, words)
            width = self.lm.get_input_embeddings().weight.shape[1]
            self.prefix = nn.Sequential(
                nn.Linear(len(mean), 2 * width), nn.GELU(), nn.Linear(2 * width, options.prefix * width)
            )

    def direction(self, latents: Tensor) -> Tensor:
        """Latents [b, d] as unit vectors from the texts' mean: a mapped latent shares its direction with a text's own,
        whatever its map does to lengths."""
        return nn.functional.normalize(latents - self.mean, dim=-1)

    def start(self, directions: Tensor) -> Tensor:
        """The prefix's embeddings [b, k, width]."""
        return self.prefix(directions).unflatten(-1, (self.options.prefix, -1))

    def forward(self, batch: Batch) -> Tensor:
        """Cross-entropy per token, of captions after their prefix."""
        start = self.start(batch.latents)
        words = self.lm.get_input_embeddings()(batch.tokens.clamp_min(0))
        mask = torch.cat([torch.ones(start.shape[:2], dtype=torch.bool, device=start.device), batch.tokens >= 0], 1)
        logits = self.lm(inputs_embeds=torch.cat([start, words], 1), attention_mask=mask).logits
        logits = logits[:, self.options.prefix - 1 : -1]
        return nn.functional.cross_entropy(logits.flatten(0, 1), batch.tokens.flatten(), ignore_index=-100)

    @torch.no_grad()
    @products()
    def write(self, latents: np.ndarray) -> list[str]:
        """The caption of each latent [n, d], by beam search; a latent of another width is an `InputError`."""
        if latents.ndim != 2 or latents.shape[1] != len(self.mean):
            raise InputError(
                f"latents: expected [n, {len(self.mean)}], found {list(latents.shape)}; map them to the text space."
            )
        self.eval()
        end = END if isinstance(self.words, Words) else self.words.end
        captions = []
        for first in range(0, len(latents), AT_ONCE):
            some = torch.tensor(latents[first : first + AT_ONCE], dtype=torch.float32, device=self.mean.device)
            start = self.start(self.direction(some))
            rows = self.lm.generate(
                inputs_embeds=start, attention_mask=torch.ones_like(start[..., 0], dtype=torch.long), do_sample=False,
                num_beams=self.options.beams, max_new_tokens=self.options.length, eos_token_id=end, pad_token_id=PAD,
            )  # fmt: skip
            captions += [self.words.decode(row.tolist()) for row in rows]
        return captions

    def save(self, path: str | os.PathLike, metadata: Mapping[str, str]) -> None:
        """Write weights, vocabulary and options as one safetensors file."""
        arrays = {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}
        words = self.words.words[3:] if isinstance(self.words, Words) else None
        head = {"captioner": json.dumps(asdict(self.options)), "words": json.dumps(words), **metadata}
        io.write_tensors(path, arrays, head)


def load(path: str | os.PathLike) -> tuple[Captioner, dict[str, str]]:
    """A captioner from the file that `Captioner.save` wrote, and its metadata."""
    arrays, head = io.read_tensors(path, "a captioner", "captioner")
    options, words = Options(**json.loads(head["captioner"])), json.loads(head["words"])
    model = Captioner(options, Words(words) if words else Pretrained(str(options.model)), arrays["mean"], 0)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    return model.eval().to(device()), head


def language_model(options: Options, words: Words | Pretrained) -> nn.Module:
    """A small causal transformer with random weights, or a folder's pretrained one."""
    if isinstance(words, Pretrained):
        from transformers import AutoModelForCausalLM

        where = _huggingface.folder(str(options.model))
        how: dict[str, Any] = {"heads": True, "use_safetensors": True, "trust_remote_code": False}
        return _huggingface.pretrained(AutoModelForCausalLM, where, **how)
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=len(words), n_positions=options.prefix + options.length + 1, n_embd=options.dims,
        n_layer=options.layers, n_head=options.heads, bos_token_id=END, eos_token_id=END, pad_token_id=PAD,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def fit(
    texts: Sequence[str], latents: np.ndarray, image_ids: np.ndarray, options: Options, seed: int,
    checkpoint: Path | None = None, identity: str = "",
) -> tuple[Captioner, Trained]:  # fmt: skip
    """Train a captioner on texts and their own latents [n, d]; the captions of held-out images choose the step."""
    if len(texts) != len(latents):
        raise InputError(f"captions: expected a latent for each, found {len(texts)} texts and {len(latents)} latents.")
    words = Words.of(texts) if options.model is None else Pretrained(options.model)
    model = Captioner(options, words, latents.mean(0, dtype=np.float64), seed)
    tokens = [words.encode(text)[: options.length] for text in texts]
    held = held_out(image_ids, options.held_out, seed)
    training, kept = np.flatnonzero(~held), np.flatnonzero(held)[:1000]
    size = min(options.batch, len(training))
    x, where = model.direction(torch.tensor(latents, dtype=torch.float32)), device()
    model.to(where)

    def batch(step: int) -> Batch:
        places = training[rng(seed, "captioning", "batch", step).integers(len(training), size=size)]
        noise = torch.randn(size, x.shape[1], generator=torch_generator(seed, "captioning", "noise", step))
        near = x[places] + options.noise / x.shape[1] ** 0.5 * noise
        return Batch(nn.functional.normalize(near, dim=-1).to(where), padded([tokens[k] for k in places]).to(where))

    def error() -> float:
        with torch.no_grad():
            return float(model(Batch(x[kept].to(where), padded([tokens[k] for k in kept]).to(where))))

    steps = max(1, round(options.epochs * len(training) / size))
    schedule = Schedule(steps, options.learning_rate, max(1, -(-steps // options.looks)), options.patience)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    trained = train(parameters, batch, model, error, schedule, checkpoint, identity, label="captioner")
    return model.eval(), trained


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Token lists as one tensor [n, longest], -100 after each list's end."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[-100] * (longest - len(row))] for row in rows])


def write_results(path: str | os.PathLike, image_ids: Sequence[int], captions: Sequence[str]) -> None:
    """Write captions as the COCO results file, [{"image_id": .., "caption": ..}, ...]."""
    if len(set(image_ids)) != len(captions) or len(image_ids) != len(captions):
        raise InputError(
            f"{path}: expected a caption for each of {len(set(image_ids))} images, once, found {len(captions)} "
            f"captions of {len(image_ids)} ids; caption every image once."
        )
    io.write_json(path, [{"image_id": int(i), "caption": c} for i, c in zip(image_ids, captions, strict=True)])
