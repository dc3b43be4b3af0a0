"""Model folders in the Hugging Face format: found on disk, in a pip package or by hub name, and loaded checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ngw import io
from ngw.encoders import _packages
from ngw.errors import InputError

HUB = re.compile(r"[\w.-]+/[\w.-]+")
PATTERNS = (
    "config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "vocab.json", "merges.txt", "*.safetensors", "*.safetensors.index.json",
)  # fmt: skip
PRECISIONS = ("float32", "bfloat16", "float16")


def folder(model: str, revision: str | None = None, pickle: bool = False) -> Path:
    """Where a model's files lie.

    model: a folder, `package:<name>`, the pip package that carries one as `model/`, or a name on the hub, which wants a
    `revision` (a commit; name@revision says both), so that a table means the same weights tomorrow.  A hub model is
    taken from the cache, and downloaded where it isn't there; its weights are safetensors unless `pickle` allows
    pytorch_model.bin.
    """
    if model.startswith("package:"):
        return _packages.folder(model.removeprefix("package:")) / "model"
    if Path(model).is_dir():
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
    return _snapshot(model, revision, [*PATTERNS, *["pytorch_model.bin"] * pickle])


def sources(*models: str | None) -> list[str]:
    """Of some models those whose files may change: folders and packages; a hub's have their revision."""
    return [name for name in models if name and (name.startswith("package:") or Path(name).is_dir())]


def _snapshot(model: str, revision: str, patterns: Sequence[str]) -> Path:
    """The cached folder of a hub model, downloaded if need be; what went wrong is one sentence with its remedy."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(patterns)))
    except RevisionNotFoundError:
        raise InputError(f"{model}: expected the revision {revision!r}, found no such one; name another.") from None
    except RepositoryNotFoundError:
        raise InputError(f"{model}: expected a public model of that name on the hub, found none; mend it.") from None
    except Exception as error:  # of the network's library, which differs from one version of the hub to the next
        found = " ".join(str(error).split())[:200]
        raise InputError(
            f"{model}: expected its files in the cache or a hub that answers, found neither ({found}); where the "
            f"network is open run `hf download {model} --revision {revision}`, or name a folder."
        ) from None


def need(where: Path, *files: str) -> None:
    """Every file of these patterns must be there, and its JSON must be whole."""
    for file in files:
        found = sorted(where.glob(file))
        if not found:
            raise InputError(f"{where / file}: no such file; {where} is not a whole model folder: name another.")
        if file.endswith(".json"):
            io.read_json(found[0])


def load(
    where: Path, kind: Any, width: int, precision: str, pickle: bool = False, compiled: bool = False, **options: Any
):  # fmt: skip
    """A network of `transformers` in evaluation mode, on a GPU where there is one.

    kind: the class that reads the folder.  precision: of weights and products; features leave as float32.
    compiled: by torch.compile, at the first batch (it wants a C++ compiler); pays where there are many.
    """
    import torch
    from safetensors import SafetensorError

    try:
        model = kind.from_pretrained(
            where, local_files_only=True, use_safetensors=not pickle, dtype=getattr(torch, precision), **options
        )
    except (OSError, ValueError, SafetensorError) as error:
        found = " ".join(str(error).split())
        raise InputError(f"{where}: expected whole model files, found {found}; replace them.") from None
    found = getattr(model.config, "projection_dim", None) or model.config.hidden_size
    if found != width:
        raise InputError(f"{where}: expected width {width}, found {found}; mend `width` in the config.")
    model = model.eval().requires_grad_(False).to("cuda" if torch.cuda.is_available() else "cpu")
    if compiled:
        model.compile(dynamic=True)  # texts differ in length
    return model


def merged(model, name: str, other: str | None, weight: float):
    """A network, its trunk the mean of its own and another's (`ngw.encoders._merge`) where another is named."""
    if other is None:
        return model
    from safetensors import SafetensorError
    from transformers import AutoModel

    from ngw.encoders._merge import merge

    where = folder(other)
    need(where, "config.json", "*.safetensors")
    try:
        second = AutoModel.from_pretrained(where, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, SafetensorError) as error:
        found = " ".join(str(error).split())
        raise InputError(f"{where}: expected whole model files, found {found}; replace them.") from None
    merge(model, second, weight, (name, other))
    return model


def check_precision(name: str) -> str:
    """The name of a precision that exists."""
    if name not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, not {name!r}")
    return name


def tokenizer(where: Path, max_length: int):
    """The folder's fast tokenizer, which cuts at max_length and pads a batch to its longest text.

    Padding as tokenizer.json says, else with the token whose name the vocabulary knows for it.
    """
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(where / "tokenizer.json"))
    found.enable_truncation(max_length)
    if found.padding is None:
        token = next((t for t in ("[PAD]", "<pad>", "<|endoftext|>") if found.token_to_id(t) is not None), None)
        if token is None:
            raise InputError(f"{where / 'tokenizer.json'}: expected a padding token, found none; add `padding` to it.")
        found.enable_padding(pad_id=found.token_to_id(token), pad_token=token)
    else:
        kept = found.padding
        found.enable_padding(pad_id=kept["pad_id"], pad_token=kept["pad_token"], pad_type_id=kept["pad_type_id"])
    return found
