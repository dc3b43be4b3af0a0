"""Model folders in the Hugging Face format: found on disk, in a pip package or by hub name, and loaded with checks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ngw import io
from ngw.device import device
from ngw.encoders import _cards, _packages
from ngw.errors import InputError
from ngw.io import digests

HUB = re.compile(r"[\w.-]+/[\w.-]+")
PATTERNS = (
    "config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "vocab.json", "merges.txt", "*.safetensors", "*.safetensors.index.json", "README.md",
)  # fmt: skip
PRECISIONS = ("float32", "bfloat16", "float16")
RECORD = "joint.json"  # of a model trained by this package: its training, and the digests of its files


def folder(
    model: str, revision: str | None = None, pickle: bool = False, patterns: Sequence[str] = PATTERNS
) -> Path:  # fmt: skip
    """The folder of a model's files.

    model: a folder, `package:<name>`, a pip package with the folder `model/`, or a name on the hub, which needs a
    `revision` (a commit; or name@revision), so that a table means the same weights tomorrow.  A hub model comes from
    the cache, and is downloaded if it isn't there; its weights are safetensors unless `pickle` allows
    pytorch_model.bin.  patterns: of the files to download.
    """
    if model.startswith("package:"):
        return _packages.folder(model.removeprefix("package:")) / "model"
    if Path(model).is_dir():
        _check_record(Path(model))
        return Path(model)
    if revision is None and "@" in model:
        model, _, revision = model.partition("@")
    if not HUB.fullmatch(model):
        raise InputError(f"{model}: no such folder; name one, or a model on the hub such as facebook/dinov2-base.")
    if revision is None:
        raise InputError(
            f"{model}: expected a folder, or a hub model with its `revision`, found neither; add the commit's hash, "
            f"which https://huggingface.co/{model}/commits shows."
        )
    return _snapshot(model, revision, [*patterns, *["pytorch_model.bin"] * pickle])


def _check_record(folder: Path) -> None:
    """Refuse a model trained by this package whose files don't match its record, or that lacks the record."""
    record, config = folder / RECORD, folder / "config.json"
    trained = record.is_file()
    if not trained and config.is_file():
        with digests.opened(config, "a model's config", "no such file") as file:
            trained = b'"record": ' in file.read()
    if trained:
        io.check_vouched(record)


def sources(*models: str | None) -> list[str]:
    """The models whose files can change: folders and packages; a hub model has its revision."""
    return [name for name in models if name and (name.startswith("package:") or Path(name).is_dir())]


def _snapshot(model: str, revision: str, patterns: Sequence[str]) -> Path:
    """The cached folder of a hub model, downloaded if needed; a failure is one sentence with its remedy."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(patterns)))
    except RevisionNotFoundError:
        raise InputError(f"{model}: expected the revision {revision!r}, found none; name another.") from None
    except RepositoryNotFoundError:
        raise InputError(f"{model}: expected a public model of that name on the hub, found none; mend it.") from None
    except Exception as error:  # of the network's library, which differs between versions of huggingface_hub
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{model}: expected its files in the cache or a hub that answers, found neither ({reason}); with a "
            f"network run `hf download {model} --revision {revision}`, or name a folder."
        ) from None


def version(model: str, revision: str | None, merged_with: str | None = None, merge_weight: float = 0.5) -> str:
    """The version of an encoder's weights, for its card."""
    own = model if revision is None else f"{model}@{revision}"
    return own if merged_with is None else f"{own}, merged with {merge_weight:g} of {merged_with}"


def about(
    model: str, revision: str | None = None, merged_with: str | None = None, patterns: Sequence[str] = PATTERNS
) -> dict[str, str]:  # fmt: skip
    """Licence and training data of a model, and of the one merged with it, from their own cards."""
    own = _cards.PACKAGES.get(model) or _cards.read(folder(model, revision, patterns=patterns) / "README.md")
    return own if merged_with is None else _cards.both(own, about(merged_with))


def need(where: Path, *files: str) -> None:
    """Check that every pattern has a file, and that each .json file is a JSON object."""
    for file in files:
        matches = sorted(where.glob(file))
        if not matches:
            raise InputError(f"{where / file}: no such file; {where} is not a whole model folder: name another.")
        if file.endswith(".json") and not isinstance(content := io.read_json(matches[0]), dict):
            raise InputError(f"{matches[0]}: expected a JSON object, found {content!r:.40}; fetch the file again.")


@contextmanager
def whole(where: str | os.PathLike, content: str, remedy: str = "replace them") -> Iterator[None]:
    """Turn an error of the libraries that read model files into one sentence about the files.

    Any error: for broken files, five libraries raise a dozen classes, and `tokenizers` raises bare Exceptions.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(f"{where}: expected {content}, found {reason}; {remedy}.") from error


@contextmanager
def sized(name: str) -> Iterator[None]:
    """Turn a network's ValueError about images of another size into one sentence."""
    try:
        yield
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise InputError(
            f"{name}: preprocessor_config.json: expected the network's size, found: {reason}; mend it."
        ) from None


def pretrained(kind: Any, where: Path, unused: tuple[str, ...] = (), heads: bool = False, **options: Any):
    """A network of `transformers` or `diffusers` from a folder, with all weights read from there and none random.

    kind: the class that reads the folder.  unused: prefixes of unused weights, which a file can lack.  heads: whether
    the file can have heads on top of the network.

    Raises:
        InputError: files that can't be read, or weights that aren't the network's.
    """
    with whole(where, "whole model files"):
        model, info = kind.from_pretrained(
            where, local_files_only=True, ignore_mismatched_sizes=True, output_loading_info=True, **options
        )
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(unused))
    shapes = sorted(f"{key}: {list(actual)} for {list(wanted)}" for key, actual, wanted in info["mismatched_keys"])
    extra = sorted(key for key in info["unexpected_keys"] if not (heads and _on_top(key, model)))
    faults = {"of its weights missing": missing, "of another shape": shapes, "that aren't its own": extra}
    flaws = "; ".join(f"{len(keys)} {fault} ({keys[0]})" for fault, keys in faults.items() if keys)
    if not flaws:
        return model
    remedy = "replace config.json or the weights, which don't belong together"
    if any(key.startswith("module.") for key in info["unexpected_keys"]):
        remedy = "save the network that DataParallel wraps, whose weights' names don't begin with `module.`"
    raise InputError(f"{where}: expected the weights of a {type(model).__name__}, found {flaws}; {remedy}.")


def _on_top(key: str, model: Any) -> bool:
    """Whether a weight belongs to a head, which features don't depend on, and to no part of the network itself.

    A classifier, a language model's head and a decoder are heads; a thirteenth layer, an adapter and registers aren't.
    GPT-2's constant `masked_bias` in old files is no weight, and counts as a head's.
    """
    parts = {name for network in (model, model.base_model) for name, _ in network.named_children()}
    return key.removeprefix(f"{model.base_model_prefix}.").split(".")[0] not in parts or key.endswith(".masked_bias")


def load(
    where: Path, kind: Any, width: int, precision: str, pickle: bool = False, compiled: bool = False, **options: Any
):  # fmt: skip
    """A network of `transformers` in evaluation mode, on a GPU where there is one.

    kind, options: as in `pretrained`.  precision: of weights and products; features are returned as float32.
    compiled: by torch.compile, at the first batch (it needs a C++ compiler); worth it for many batches.
    """
    import torch

    how = {"use_safetensors": not pickle, "dtype": getattr(torch, precision), "trust_remote_code": False}
    model = pretrained(kind, where, **how, **options)
    size = getattr(model.config, "projection_dim", None) or getattr(model.config, "hidden_size", None)
    if size != width:
        raise InputError(f"{where}: expected width {width}, found {size}; mend `width` in the config.")
    model = model.eval().requires_grad_(False).to(device())
    if compiled:
        model.compile(dynamic=True)  # texts differ in length
    return model


# Options of `pretrained` for an encoder whose features are its last states, before any pooler or head.
STATES: dict[str, Any] = {"unused": ("pooler.",), "heads": True}


def merged(model, name: str, other: str | None, weight: float):
    """A network; if another is named, its trunk becomes the mean of both trunks (`ngw.encoders._merge`)."""
    if other is None:
        return model
    from transformers import AutoModel

    from ngw.encoders._merge import merge

    where = folder(other)
    need(where, "config.json", "*.safetensors")
    second = pretrained(AutoModel, where, use_safetensors=True, trust_remote_code=False, **STATES)
    merge(model, second, weight, (name, other))
    return model


def tokenizer(where: Path, max_length: int, words: int):
    """The folder's fast tokenizer, which cuts at max_length and pads a batch to its longest text.

    words: the rows of the network's embedding; a tokenizer with more words belongs to another model.
    Padding follows tokenizer.json, else a padding token that the vocabulary has.
    """
    from tokenizers import Tokenizer

    file = where / "tokenizer.json"
    with whole(file, "a tokenizer", "fetch the file again"):
        splitter = Tokenizer.from_file(str(file))
    if not splitter.get_vocab_size(with_added_tokens=False):
        raise InputError(f"{file}: expected a vocabulary, found an empty one; fetch the file again.")
    if (last := max(splitter.get_vocab().values())) >= words:
        raise InputError(
            f"{file}: expected the tokenizer of a network with {words} words, found a word with number {last}; replace "
            "it or the weights, which don't belong together."
        )
    splitter.enable_truncation(max_length)
    if splitter.padding is None:
        token = next((t for t in ("[PAD]", "<pad>", "<|endoftext|>") if splitter.token_to_id(t) is not None), None)
        if token is None:
            raise InputError(f"{file}: expected a padding token, found none; add `padding` to it.")
        splitter.enable_padding(pad_id=splitter.token_to_id(token), pad_token=token)
    else:
        kept = splitter.padding
        splitter.enable_padding(pad_id=kept["pad_id"], pad_token=kept["pad_token"], pad_type_id=kept["pad_type_id"])
    return splitter


def check_length(name: str, network: Any, max_length: int) -> None:
    """Refuse a max_length above the positions that a network has; a network of relative positions has no limit."""
    for place, part in network.named_modules():
        if place.rpartition(".")[2] in ("position_embeddings", "wpe"):
            padding = getattr(part, "padding_idx", None)  # RoBERTa's texts begin behind this position
            most = part.num_embeddings - (0 if padding is None else padding + 1)
            if max_length > most:
                raise InputError(
                    f"{name}: max_length: expected {most} or less, the network's positions, found {max_length}; "
                    "lower it."
                )


def tokens(tokenizer: Any, texts: Sequence[str], name: str) -> list[Any]:
    """The tokenizer's encodings of texts, each of one token or more."""
    with whole(name, "tokens of each text", "mend tokenizer.json, or the texts"):
        rows = tokenizer.encode_batch(list(texts))
    empty = next((text for text, row in zip(texts, rows, strict=True) if not sum(row.attention_mask)), None)
    if empty is not None:
        raise InputError(f"{empty!r}: expected a token that {name} knows, found none; mend the text or drop it.")
    return rows
