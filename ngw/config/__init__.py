"""The config: three checks (schema, cross references, each class's own), then what the rules ask of it. No torch."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Mapping
from typing import Any

import yaml

from ngw import data, encoders, methods
from ngw.config import selection as config_selection
from ngw.config.generation import Generation
from ngw.config.joint import RawItems
from ngw.config.names import FUSION as FUSION
from ngw.config.names import RUN as RUN
from ngw.config.names import Once, derived_spec, known, with_name
from ngw.config.vqa import Vqa
from ngw.errors import InputError
from ngw.features.clouds import ALL
from ngw.schema import check_plain, check_schema


def read(path: str | os.PathLike) -> dict[str, Any]:
    """A YAML file as a dictionary; a key that stands twice in a mapping is an `InputError`."""
    try:
        with open(path, encoding="utf-8") as file:
            value = yaml.load(file, Loader=Once)
    except FileNotFoundError:
        raise InputError(f"{path}: no such config file; check the path.") from None
    except OSError as error:
        raise InputError(f"{path}: expected a config file, found {error.strerror}; check the path.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date in month 13, not UTF-8
        raise InputError(f"{path}: expected YAML, found {' '.join(str(error).split())}; mend the file.") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a mapping, found {type(value).__name__}; mend the file.")
    return value


class Config:
    """A checked config. Building one raises an `InputError` for the first thing that is wrong."""

    def __init__(self, values: Mapping[str, Any], schema: str | os.PathLike) -> None:
        check_plain("config", values)
        check_schema(values, read(schema))
        self.datasets, self.encoders, self.methods = values["datasets"], values["encoders"], values["methods"]
        self._built: dict[str, methods.Method] = {}
        self.run = values["run"]
        self.tables = {name: table for name, table in values["tables"].items() if table is not None}  # null: left out
        self.energy = values.get("energy", {}).get("country")
        self.captions, self.shards = self.run.get("captions", 1), self.run.get("shards", 1)
        self.identifiability = {"methods": [], "pairs": ALL} | self.tables.get("identifiability", {})
        self.ablations = {"vary": [], "pairs": ALL, "full": {}} | self.tables.get("ablations", {})
        self._check_names()
        self.vqa = Vqa(self, values.get("fusions", {}), self.tables.get("vqa"))
        self.raw = RawItems(self)
        self.generation = Generation(self, self.tables.get("generation"), values.get("scorers", {}))
        self._check_components()

    def _check_names(self) -> None:
        """Every selected name is defined, and encoders stand on their own side."""
        for name in self.run["datasets"]:
            known("run.datasets", "data set", name, self.datasets)
        for pair in self.run["encoder_pairs"]:
            for name in pair:
                known("run.encoder_pairs", "encoder", name, self.encoders)
            self._check_pair(pair)
        for table in ("retrieval", "identifiability", "generation"):
            for name in self.tables.get(table, {"methods": []})["methods"]:
                known(f"tables.{table}.methods", "method", name.split("~")[0], self.methods)
        for panel in [*self.ablations["vary"], *self.ablations["full"].get("vary", [])]:
            known("tables.ablations.vary", "method", panel["method"].split("~")[0], self.methods)

    def _check_pair(self, pair: list[str]) -> None:
        """A pair of encoders is [vision, text], or two encoders of one modality."""
        found = [with_name(f"encoders.{name}", encoders.build, self.encoders[name]).modality for name in pair]
        if found[0] == found[1] and pair[0] != pair[1]:
            return
        for name, modality, wanted in zip(pair, found, ("vision", "text"), strict=True):
            if modality != wanted:
                raise InputError(
                    f"config: run.encoder_pairs: expected [vision, text], or two encoders of one modality, found "
                    f"{name!r}, a {modality} encoder, on the {wanted} side; exchange the two, or name another."
                )

    def _check_components(self) -> None:
        """Every kind exists and takes its options; what is selected is there."""
        for name, spec in self.datasets.items():
            with_name(f"datasets.{name}", data.check, spec)
        for name, spec in self.encoders.items():
            with_name(f"encoders.{name}", encoders.build, spec)
        for name in dict.fromkeys([*self.methods, *self.selected()]):
            self.method(name)
        self.raw.check()
        for name, scorer in self.generation.scorers.items():
            with_name(f"scorers.{name}", methods.build, {"kind": "joint", **scorer.get("training", {})})
        config_selection.check(self)

    def selected(self) -> list[str]:
        """The methods that some table names, or a fusion."""
        return self._selected

    @functools.cached_property
    def _selected(self) -> list[str]:
        named = [*self.tables["retrieval"]["methods"], *self.generation.methods, *self.of_features()]
        return list(dict.fromkeys([*named, *self.ablation_grid(full=True)["methods"]]))

    def of_features(self) -> list[str]:
        """The methods of which a table or a fusion wants maps between the encoders' features."""
        return [*self.identifiability["methods"], *self.vqa.aligners()]

    def vision_text_names(self, datasets: list[str]) -> list[str]:
        """What figures with images are called: each data set with each pair of a vision and a text encoder."""
        return [f"{dataset}.{vision}.{text}" for dataset in datasets for vision, text in self.vqa.encoder_pairs()]

    def method_spec(self, name: str) -> dict[str, Any]:
        """A method's kind and hyperparameters; `base~option=value~...` derives them from a defined one."""
        return derived_spec("methods", "method", self.methods, name)

    def method(self, name: str) -> methods.Method:
        """The unfitted method, made once."""
        if name not in self._built:
            self._built[name] = with_name(f"methods.{name}", methods.build, self.method_spec(name))
        return self._built[name]

    def budgets(self, name: str) -> list[str]:
        """The pair budgets at which a method runs: 0 alone, all alone, or every one that has enough pairs."""
        method, pairs = self.method(name), [str(p) for p in self.run["pairs"]]
        if method.pairs == "none":
            return ["0"]
        if method.pairs == "all":
            return [ALL]
        return [p for p in pairs if p == ALL or int(p) >= method.min_pairs]

    def staged(self, staged: bool) -> str:
        """A regular expression of the selected methods that have (or lack) a transport stage of their own."""
        names = [n for n in self.selected() if hasattr(self.method(n), "solve") == staged and n not in self.raw.names()]
        return "|".join(map(re.escape, names)) or "(?!)"

    def budget(self, name: str, pairs: int | str) -> str:
        """The one budget at which a method runs in a table of one: that, or the one that the method's kind has."""
        return {"none": "0", "all": ALL}.get(self.method(name).pairs, str(pairs))

    def derived(self, base: str, option: str, value: Any) -> tuple[str, str]:
        """(what the ablation table calls it, the name) of a method with another value of one option, or of several.

        value: of the option, or a mapping of this option and others.  A change to what the base has already is none.
        """
        changes, now = value if isinstance(value, Mapping) else {option: value}, self.method(base).params()
        if option not in changes:
            raise InputError(f"config: tables.ablations: expected {option!r} among {dict(changes)}; add its value.")
        texts = {name: _plain(new) for name, new in changes.items()}
        further = [f"{name}={text}" for name, text in sorted(texts.items()) if name != option]
        same = {name for name in changes if name in now and _same(now[name], changes[name])}
        new = [f"{name}={text}" for name, text in sorted(texts.items()) if name not in same]
        name = "~".join([base, *new])
        self.method(name)  # an option that doesn't exist, or a value that it can't have, is told here
        return ", ".join([texts[option], *further]), name

    def ablation_groups(self, full: bool = False) -> list[dict[str, Any]]:
        """The ablations one by one: base method, option, rows [[value, method], ...], among them the base itself.

        full: also the values of `full.vary`.  Rows stand in the order of their numbers, those without one last.
        """
        values: dict[tuple[str, str], list] = {}
        for panel in self.ablations["vary"] + self.ablations["full"].get("vary", []) * full:
            values.setdefault((panel["method"], panel["option"]), []).extend(panel["values"])
        groups = []
        for (base, option), found in values.items():
            rows = {name: label for label, name in (self.derived(base, option, value) for value in found)}
            if base not in rows:
                rows = {base: _plain(self.method(base).params()[option])} | rows
            ordered = sorted(rows.items(), key=lambda row: _number(row[1]))
            groups.append({"base": base, "option": option, "rows": [[label, name] for name, label in ordered]})
        return groups

    def ablation_grid(self, full: bool = False) -> dict[str, Any]:
        """The runs that the ablation table needs, and its groups."""
        table, groups = self.ablations, self.ablation_groups(full)
        names = dict.fromkeys(name for group in groups for _, name in group["rows"])
        seeds = table.get("seeds", self.run["seeds"])
        return {
            "datasets": self.run["datasets"],
            "encoder_pairs": self.run["encoder_pairs"],
            "methods": {name: [self.budget(name, table["pairs"])] for name in names},
            "seeds": table["full"].get("seeds", seeds) if full else seeds,
            "groups": groups,
        }

    def identifiability_grid(self) -> dict[str, Any]:
        """The runs that the identifiability tables need: one budget, or the one that a method's kind has."""
        table = self.identifiability
        return {
            "datasets": self.run["datasets"],
            "encoder_pairs": self.run["encoder_pairs"],
            "methods": {name: [self.budget(name, table["pairs"])] for name in table["methods"]},
            "seeds": table.get("seeds", self.run["seeds"]),
        }

    def grid(self) -> dict[str, Any]:
        """The runs that the retrieval table needs, in short: `cells` spells them out."""
        table, only = self.tables["retrieval"], self.tables["retrieval"].get("only", [])
        kept = {some["method"]: [str(p) for p in some["pairs"]] for some in only if "pairs" in some}
        seeds = {"seeds_of": {some["method"]: some["seeds"] for some in only if "seeds" in some}}
        return {
            "datasets": self.run["datasets"],
            "encoder_pairs": self.run["encoder_pairs"],
            "methods": {n: [p for p in self.budgets(n) if p in kept.get(n, [p])] for n in table["methods"]},
            "seeds": self.run["seeds"],
            **(seeds if seeds["seeds_of"] else {}),
            **({"references": [dict(sorted(r.items())) for r in table["references"]]} if "references" in table else {}),
        }


def cells(grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every run of a grid: the fields of its record that say who it is."""
    return [
        {"dataset": dataset, "vision": vision, "text": text, "method": name, "pairs": pairs, "seed": seed}
        for dataset in grid["datasets"]
        for vision, text in grid["encoder_pairs"]
        for name, budgets in grid["methods"].items()
        for pairs in budgets
        for seed in grid.get("seeds_of", {}).get(name, grid["seeds"])
    ]


def _plain(value: Any) -> str:
    """A value as YAML writes it, so that it reads back as itself; a whole number without its point."""
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    return yaml.safe_dump(value, default_flow_style=True, width=math.inf).removesuffix("...\n").strip()


def _same(one: Any, other: Any) -> bool:
    """Whether two values mean one: 1 and 1.0 do, 1 and true don't."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _number(text: str) -> float:
    """A number to sort by; words come after all numbers."""
    try:
        return float(text)
    except ValueError:
        return math.inf
