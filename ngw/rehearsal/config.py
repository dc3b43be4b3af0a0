"""The config of a rehearsal: made features for every encoder, tiny networks, a share of the data in its folder."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ngw import encoders
from ngw.config.names import with_name
from ngw.errors import InputError
from ngw.project import placed

KINDS = ("coco", "flickr30k", "vqa2", "image-folder", "cifar")  # kinds of data sets that the rehearsal makes
OWN = ("scenes", "easy-vqa")  # and kinds that make themselves, or come as a package
CLIP, GPT2, AUTOENCODER = "models/clip", "models/gpt2", "models/vae"
# Options of tiny networks; sizes of images, texts and batches stay.
TOWER = {"layers": 1, "heads": 1, "dims": 16}
JOINT = {**TOWER, "width": 16, "steps": 4, "looks": 1}
FUSED = {"dims": 8, "hidden": 8, "width": 8}
PASSES = 0.02  # epochs of a network
FEWEST = 16  # images per split, at any share


def rehearsed(values: Mapping[str, Any], share: float) -> dict[str, Any]:
    """The config of a rehearsal on a share of the images.  values: the config, all its files merged."""
    made = copy.deepcopy(dict(values))
    used = used_datasets(values)
    made["datasets"] = {name: _dataset(name, values["datasets"][name]) for name in values["datasets"] if name in used}
    made["encoders"] = {
        name: _encoder(name, spec, seed) for seed, (name, spec) in enumerate(values["encoders"].items())
    }
    made["methods"] = {name: _joint(spec) for name, spec in values["methods"].items()}
    made["fusions"] = {name: _fusion(spec) for name, spec in values.get("fusions", {}).items()}
    made["scorers"] = {
        name: {**spec, "model": CLIP}
        if "model" in spec
        else {**spec, "training": {**spec.get("training", {}), **JOINT}}
        for name, spec in values.get("scorers", {}).items()
        if spec.get("dataset") in {None, *used}
    }
    foreign = values["run"].get("foreign", {})
    made["run"]["foreign"] = {name: other for name, other in foreign.items() if {name, other} <= used}
    made["run"]["pairs"] = _budgets(values["run"]["pairs"], share)
    widths = {name: spec["width"] for name, spec in made["encoders"].items()}
    made["tables"] = {name: table and _table(name, table, share, widths) for name, table in made["tables"].items()}
    return made


def used_datasets(values: Mapping[str, Any]) -> set[str]:
    """The data sets that the tables need."""
    run, tables = values["run"], {name: table or {} for name, table in values["tables"].items()}
    vqa, scorer = tables.get("vqa", {}), tables.get("generation", {}).get("images", {}).get("scorer")
    aligned = {*run["datasets"], *vqa.get("aligned_on", {}).values()}
    names = {*aligned, *vqa.get("datasets", []), *tables.get("classification", {}).get("sets", [])}
    names |= {other for name, other in run.get("foreign", {}).items() if name in aligned}
    return names | ({values["scorers"][scorer].get("dataset")} - {None} if scorer else set())


def root(path: str) -> str:
    """The place, in the rehearsal's folder, of data that a config reads from a path."""
    return path if not Path(path).is_absolute() else f"data/{Path(path).name}"


def _dataset(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    if spec["kind"] not in (*KINDS, *OWN):
        raise InputError(
            f"config: datasets.{name}: expected a kind that can be made ({', '.join((*KINDS, *OWN))}), "
            f"found {spec['kind']!r}; take it out of the tables by another config file."
        )
    for option in ("token", "subsets", "file", "splits"):
        if option in spec and (spec["kind"], option) not in (("vqa2", "subsets"), ("image-folder", "splits")):
            raise InputError(
                f"config: datasets.{name}.{option}: expected the official layout, found {spec[option]!r}; take it out "
                "by another config file."
            )
    paths = {option: root(spec[option]) for option in ("root", "source") if option in spec}
    if "classes" in spec and spec["kind"] == "image-folder":
        paths["classes"] = str(Path(placed(spec["classes"])).resolve())
    return {**spec, **paths}


def _encoder(name: str, spec: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """An encoder of made features, of the same modality and width."""
    real = with_name(f"encoders.{name}", encoders.build, spec)
    made = {"kind": "made", "modality": real.modality, "width": real.width, "seed": seed}
    return made | ({"words": max(3, real.n_tokens)} if real.modality == "text" else {})


def _joint(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A method; a model trained on raw items is tiny, and a tiny CLIP replaces a published one."""
    if spec["kind"] not in ("joint", "weight-averaging"):
        return dict(spec)
    return {**spec, "model": CLIP, "width": 16} if spec.get("model") else {**spec, **JOINT}


def _fusion(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A fusion of the same kind, tiny."""
    if spec["kind"] == "prior":
        return dict(spec)
    raw = spec["kind"] in ("joint", "weight-averaging")
    return {**spec, **({**TOWER, "epochs": PASSES} if raw else FUSED)}


def _table(name: str, table: Mapping[str, Any], share: float, widths: Mapping[str, int]) -> dict[str, Any]:
    """A table with the rehearsal's budgets, numbers of pictures and passes.  widths: of the encoders."""
    made = dict(table)
    if "pairs" in table:
        several = isinstance(table["pairs"], list)
        made["pairs"] = _budgets(table["pairs"], share) if several else _budget(table["pairs"], share)
    if "only" in table:
        made["only"] = [
            {**some, "pairs": _budgets(some["pairs"], share)} if "pairs" in some else some for some in table["only"]
        ]
    if name == "generation":
        _generation(made, share, widths)
    if name == "vqa":
        made["training"] = {**table.get("training", {}), "epochs": PASSES, "looks": 2}
        made["min_count"] = max(1, round(table.get("min_count", 9) * share))
    return made


def _generation(table: dict[str, Any], share: float, widths: Mapping[str, int]) -> None:
    """Tiny decoders, trained for a part of a pass."""
    short = {"epochs": PASSES, "looks": 2}
    captioner, imager = table.get("captioner", {}), table.get("imager", {})
    table["captioner"] = {**captioner, **short, **({"model": GPT2} if captioner.get("model") else TOWER)}
    own = {**short, **TOWER} if imager.get("network", "transformer") != "local" else {}
    table["imager"] = {**imager, **own, **({"vae": AUTOENCODER} if imager.get("vae") else {}), "unclip": None}
    if table.get("count"):
        table["count"] = max(FEWEST, round(table["count"] * share))
    if table.get("images"):
        table["images"] = {**table["images"], **_pictures(table["images"], share, widths)}


def _pictures(images: Mapping[str, Any], share: float, widths: Mapping[str, int]) -> dict[str, Any]:
    """The number of judged pictures, and of the judge's axes that a covariance of so few pictures allows."""
    count = max(FEWEST, round(images.get("count", 1000) * share))
    axes = min(images.get("axes") or widths[images["network"]], count // 2)
    return {"count": count, "axes": images.get("axes") if axes == widths[images["network"]] else axes}


def _budget(pairs: int | str, share: float) -> int | str:
    """The share of a budget, with a few pairs at least; 0 and all stay."""
    return pairs if pairs in (0, "all") else max(24, round(int(pairs) * share))


def _budgets(pairs: list[int | str], share: float) -> list[int | str]:
    """The shares of budgets, each once."""
    return list(dict.fromkeys(_budget(each, share) for each in pairs))
