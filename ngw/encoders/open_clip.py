"""One side of a CLIP by open_clip's own loader: a folder or hub model of its format, or an architecture and weights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ngw.device import device
from ngw.encoders import _huggingface, _packages
from ngw.encoders.base import Encoder, Encoding
from ngw.errors import InputError, did_you_mean
from ngw.io.images import read, stack
from ngw.options import option

CONFIG = "open_clip_config.json"
PATTERNS = (
    CONFIG, "config.json", "open_clip_*.safetensors", "tokenizer*", "special_tokens_map.json", "vocab.*", "merges.txt",
    "*.model", "README.md",
)  # fmt: skip
PRECISIONS = {"float32": "fp32", "bfloat16": "pure_bf16", "float16": "pure_fp16"}  # open_clip's names


class Loaded(NamedTuple):
    """The network in evaluation mode, the transform of a picture to pixels, and the tokenizer."""

    network: Any
    preprocess: Any
    tokenizer: Any


@dataclass(eq=False)
class OpenClip(Encoder):
    """Projected features of images or of texts, in the space that both share, at unit length.

    Pictures are prepared by the model's own transform, texts by its tokenizer, which cuts them at its context length.
    """

    n_tokens = 1  # the pooled feature; word and patch tokens aren't offered

    side: str = option("vision", among=("vision", "text"))
    # Without `pretrained` a folder with CONFIG, or a hub model that has one; else an architecture, such as ViT-B-32.
    model: str = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    pretrained: str | None = None  # a tag of open_clip, such as laion2b_s34b_b79k, or a file of weights
    width: int = 512  # of the shared space
    revision: str | None = None  # of the hub model, also of a tag's
    precision: str = option("float32", among=_huggingface.PRECISIONS)
    pickle: bool = False  # whether other forms of weights than safetensors are allowed
    licence: str | None = None  # null: as the model card says, like training_data
    training_data: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.modality, self.token_width = self.side, self.width
        self.preprocessing = f"open_clip's own {'transform' if self.side == 'vision' else 'tokenizer'}"
        name = self.model if self.pretrained is None else f"{self.model}, {self.pretrained}"
        self.version = _huggingface.version(name, self.revision)

    def sources(self) -> list[str]:
        return [self._own_file] if self._own_file else _huggingface.sources(None if self.pretrained else self.model)

    @property
    def _own_file(self) -> str | None:
        """The user's file of weights, where `pretrained` names one."""
        return self.pretrained if self.pretrained is not None and os.path.isfile(self.pretrained) else None

    def hub(self) -> tuple[str, Sequence[str]] | None:
        """The model as `_huggingface.folder` takes it, and patterns of its files; None for the user's own file."""
        return None if self._own_file else (self._source(), self._patterns())

    def about(self) -> Mapping[str, str]:
        """Licence and training data from the model card; a file of weights has none."""
        return {} if self._own_file else _huggingface.about(self._source(), self.revision, patterns=self._patterns())

    def _patterns(self) -> tuple[str, ...]:
        return (*PATTERNS, *["open_clip_*.bin"] * self.pickle)

    def _source(self) -> str:
        """The folder or hub model; for a tag, the hub model in open_clip's table."""
        if self.pretrained is None:
            return self.model.removeprefix("hf-hub:").removeprefix("local-dir:")
        library = _packages.library("open_clip", "open-clip")
        known = library.get_pretrained_cfg(self._architecture(library), self.pretrained)
        if not known.get("hf_hub"):
            tags = library.list_pretrained_tags_by_model(self.model)
            raise InputError(
                f"{self.model}: expected `pretrained` to be a file of weights, or a tag, found {self.pretrained!r}."
                f"{did_you_mean(self.pretrained, tags)}"
            )
        return "/".join(known["hf_hub"].split("/")[:2])

    def _architecture(self, library: Any) -> str:
        """The model's name, one of open_clip's configs."""
        if library.get_model_config(self.model) is None:
            near = did_you_mean(self.model, library.list_models())
            raise InputError(
                f"{self.model}: expected an architecture of open_clip beside `pretrained`, found none.{near}"
            )
        return self.model

    def _place(self, library: Any) -> tuple[str, str | None]:
        """Model and weights as open_clip's loader takes them, with all files on this machine."""
        file = self._own_file
        if file is None:
            where = _huggingface.folder(self._source(), self.revision, patterns=self._patterns())
            _huggingface.need(where, CONFIG, "*.bin" if self.pickle else "*.safetensors")
            return f"local-dir:{where}", None
        if "hf_tokenizer_name" in library.get_model_config(self._architecture(library))["text_cfg"]:
            raise InputError(
                f"{self.model}: expected an architecture with open_clip's own tokenizer beside a file, found one with "
                f"a hub tokenizer, which has no revision; name a folder with {CONFIG}, weights and tokenizer."
            )
        if not file.endswith(".safetensors") and not self.pickle:
            raise InputError(f"{file}: expected safetensors, found another form; convert it, or set `pickle: true`.")
        return self.model, file

    @cached_property
    def loaded(self) -> Loaded:
        """Network, transform and tokenizer, loaded once."""
        library = _packages.library("open_clip", "open-clip")
        name, weights = self._place(library)
        with _huggingface.whole(weights or name, "whole files of open_clip"):
            network, preprocess = library.create_model_from_pretrained(
                name, weights, precision=PRECISIONS[self.precision], device=device(), weights_only=True
            )
            tokenizer, size = library.get_tokenizer(name), library.get_model_config(name)["embed_dim"]
        if size != self.width:
            raise InputError(f"{self.model}: expected width {self.width}, found {size}; mend `width` in the config.")
        return Loaded(network.eval().requires_grad_(False), preprocess, tokenizer)

    def view(self, path: str):
        """The part of an image file that the network sees, as a picture."""
        image = read(path)
        for step in self.loaded.preprocess.transforms:
            if type(step).__name__.endswith("ToTensor"):
                break
            image = step(image)
        return image

    def count_tokens(self, items: Sequence[str]) -> np.ndarray:
        """The number of tokens of each text, with start and end tokens."""
        splitter = self.loaded.tokenizer
        pad = getattr(getattr(splitter, "tokenizer", None), "pad_token_id", 0)  # open_clip's own pads with 0
        ids = splitter(list(items)).numpy()
        return ids.shape[1] - (ids[:, ::-1] != pad).argmax(1).astype(np.int64)

    def prepare(self, items: Sequence[str]) -> Sequence[str] | np.ndarray:
        """Image files as pixels [b, 3, h, w]; texts as they are."""
        if self.modality != "vision":
            return items
        preprocess = self.loaded.preprocess
        return stack(lambda path: preprocess(read(path)).numpy(), items)

    def encode(self, items: Sequence[str] | np.ndarray, tokens: bool = False) -> Encoding:
        """Pooled [b, width], of unit length; token features are not offered."""
        import torch

        from ngw.products import products

        if tokens:
            raise InputError(f"{self.model}: open_clip gives pooled features only; take another encoder for fusion.")
        network, _, tokenizer = self.loaded
        weight = next(network.parameters())
        with torch.inference_mode(), products():
            if self.modality == "vision":
                pixels = torch.from_numpy(items if isinstance(items, np.ndarray) else self.prepare(items))
                features = network.encode_image(pixels.to(weight.device, weight.dtype))
            else:
                features = network.encode_text(tokenizer(list(items)).to(weight.device))
            return Encoding(torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy())
