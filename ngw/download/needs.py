"""The items that a config needs: the files of its data sets, the models of its encoders, methods and judges."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ngw import data, encoders
from ngw.config import Config
from ngw.data.vqa2 import image_subset
from ngw.download.items import File, Item, Model
from ngw.encoders._huggingface import HUB, PATTERNS
from ngw.encoders.inception import URL as INCEPTION
from ngw.errors import InputError, did_you_mean
from ngw.registry import kinds

YOURS = "your own file, which no table has"


def of_names(names: Iterable[str], table: Mapping[str, Any], project: Path) -> list[Item]:
    """The files of named sets that an entry of their kind without options reads, at the table's places in a project."""
    items: list[Item] = []
    for name in names:
        if name not in table["sets"]:
            raise InputError(f"download: {name!r} is no data set.{did_you_mean(name, table['sets'])}")
        paths = _paths({"kind": name, "root": ""}) if name in kinds("ngw.data") else None
        items += _files(table["sets"][name], project / table["sets"][name]["root"], paths)
    return _once(items)


def of_config(config: Config, table: Mapping[str, Any], project: Path) -> list[Item]:
    """All files and models that a config selects and pip doesn't install; paths are relative to the project."""
    items: list[Item] = []
    for name in _data_sets(config):
        items += _data_set(name, config.datasets[name], table["sets"], project)
    names = [name for pair in config.run["encoder_pairs"] for name in pair]
    names += [config.generation.images["network"]] if config.generation.images else []
    for name in dict.fromkeys(names):
        items += _encoder(encoders.build(config.encoders[name]), table["weights"], project)
    for model in _models(config):
        items += _weights(model, None, False, table["weights"], project)
    return _once(items)


def _once(items: Iterable[Item]) -> list[Item]:
    """Each item once; of a model with and without pickle the one with it, which has more files."""
    first: dict[tuple, Item] = {}
    for item in items:
        key = (item.name, item.root) if isinstance(item, File) else (item.name, item.into, item.patterns)
        if key not in first or getattr(item, "pickle", False):
            first[key] = item
    return list(first.values())


def _data_sets(config: Config) -> list[str]:
    """The data sets that the config's tables need."""
    names = [*config.run["datasets"], *config.classification.sets]
    names += [other for name, other in config.foreign.items() if name in names]
    if config.vqa.names:
        names += [*config.vqa.table["datasets"], *config.vqa.table["aligned_on"].values()]
    if config.generation.images:
        names += [config.generation.scorers[config.generation.images["scorer"]].get("dataset")]
    return [name for name in dict.fromkeys(names) if name is not None]


def _models(config: Config) -> list[str]:
    """The models that methods, judges and decoders use or start from."""
    methods = [getattr(config.method(name), "model", None) for name in config.raw.names()]
    table = config.generation.table
    decoders = [table["captioner"].get("model"), *(table["imager"].get(key) for key in ("vae", "unclip"))]
    judge = config.generation.scorers[config.generation.images["scorer"]] if config.generation.images else {}
    return [name for name in dict.fromkeys([*methods, judge.get("model"), *decoders]) if name]


def _data_set(name: str, spec: Mapping[str, Any], sets: Mapping[str, Any], project: Path) -> Iterator[Item]:
    """The official files of a data set's entry, and those of its paths that are missing and in no table."""
    kind, known = spec["kind"], None
    if kind == "cifar":
        folder = Path(spec["source"])
        known, root, paths = sets.get(folder.name), folder.parent, None
    elif "root" in spec:
        root, paths = Path(spec["root"]), _paths(spec)
        known = sets.get(kind) or (sets.get(name) if kind == "image-folder" else None)
    given = list(_files(known, project / root, paths)) if known else []
    yield from given
    there = {path for file in given for path in file.gives}
    asked = paths if known and paths is not None else [] if given else data.sources(spec)
    base = project / root if known else project
    for path in asked:
        if path not in there and not path.startswith("package:") and not (base / path).exists():
            yield File(path, base, (path,), form=YOURS)


def _files(entry: Mapping[str, Any], root: Path, paths: list[str] | None) -> Iterator[File]:
    """The files of a set that give a wanted path, reduced to their wanted paths.  paths: None, all."""
    for each in entry["files"]:
        gives = tuple(path for path in each["gives"] if paths is None or path in paths)
        if gives:
            yield _file({**each, "gives": gives}, root)


def _file(entry: Mapping[str, Any], root: Path) -> File:
    """A file of the table."""
    try:
        return File(root=root, **entry)
    except TypeError as error:
        raise InputError(f"table of official files: {entry.get('name')}: expected {File._fields}: {error}.") from None


def _paths(spec: Mapping[str, Any]) -> list[str] | None:
    """The paths that a kind's `load` reads below its root with an entry's options; None: all of the set."""
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(data.check(spec).load).parameters.items()
    }
    of, kind = {**defaults, **spec}, spec["kind"]
    if kind == "vqa2":
        subsets = of["subsets"] or {"train": "train2014", "val": "val2014"}
        paths = [of["questions"].format(subset=subset) for subset in subsets.values()]
        paths += [of["annotations"].format(subset=subset) for split, subset in subsets.items() if split != "test"]
        return paths + [os.path.join(of["images"], image_subset(subset)) for subset in subsets.values()]
    if kind == "coco" and of["subsets"]:
        paths = [f"annotations/captions_{subset}.json" for subset in of["subsets"].values()]
        return paths + [os.path.join(of["images"], subset) for subset in of["subsets"].values()]
    if kind == "coco":
        return [of["file"], *(os.path.join(of["images"], subset) for subset in ("train2014", "val2014"))]
    if kind == "flickr30k":
        return [of["token"] or of["file"], *(of["splits"] or {}).values(), of["images"]]
    return None


def _encoder(encoder: Any, weights: Mapping[str, Any], project: Path) -> Iterator[Item]:
    """The weights of an encoder that pip doesn't install."""
    name = type(encoder).__name__
    if name == "Inception":
        yield from _weights(encoder.weights or _torch_cache(), None, False, weights, project)
        return
    model, other = getattr(encoder, "model", ""), getattr(encoder, "merged_with", None)
    if hasattr(encoder, "hub"):  # by another library's loader
        if (wanted := encoder.hub()) is not None:
            yield from _weights(wanted[0], encoder.revision, False, weights, project, tuple(wanted[1]))
    elif hasattr(encoder, "revision"):
        yield from _weights(model, encoder.revision, getattr(encoder, "pickle", False), weights, project)
    for source in encoder.sources():
        if not source.startswith("package:") and not (project / source).exists():
            yield File(source, project, (source,), form=YOURS)
    if other is not None:
        yield from _weights(other, None, False, weights, project)


def _weights(
    model: str, revision: str | None, pickle: bool, weights: Mapping[str, Any], project: Path,
    patterns: tuple[str, ...] = PATTERNS,
) -> Iterator[Item]:  # fmt: skip
    """A model of the hub, or the table's weights if it has a folder or a file of that name."""
    place, entry = project / model, weights.get(Path(model).name)
    name, _, commit = model.partition("@")
    if entry is not None and "model" in entry:
        yield Model(entry["model"], entry["revision"], into=place, licence=entry["licence"])
    elif entry is not None:
        yield _file({**entry, "name": place.name, "gives": (place.name,)}, place.parent)
    elif model.startswith("package:") or place.is_dir():
        return
    elif HUB.fullmatch(name) and (revision or commit):
        yield Model(name, revision or commit, pickle, patterns=patterns)
    else:
        yield File(model, project, (model,), form=YOURS)


def _torch_cache() -> str:
    """Where torch looks for FID's network, unless the config names a file."""
    home = os.environ.get("TORCH_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return os.path.join(os.path.expanduser(home), "hub", "checkpoints", os.path.basename(INCEPTION))
