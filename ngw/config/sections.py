"""The config, section by section, and the runs that its tables need. No torch."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

from ngw.config.classification import Classification
from ngw.config.definitions import Definitions
from ngw.config.generation import Generation
from ngw.config.joint import RawItems
from ngw.config.names import known
from ngw.config.vqa import Vqa
from ngw.errors import InputError
from ngw.features.clouds import ALL, FOREIGN, NONE, SETTINGS

SETTING = "setting"  # the ablations vary it like an option: where the partners of unpaired rows are
VARIED = {name: text for name, text in SETTINGS.items() if name != NONE}


class Sections(Definitions):
    """The definitions, and the tables."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.tables = {name: table for name, table in values["tables"].items() if table is not None}  # null: left out
        self.energy = values.get("energy", {}).get("country")
        self.captions, self.shards = self.run.get("captions", 1), self.run.get("shards", 1)
        self.keeps_tokens = self.run.get("keep_tokens", False)
        if self.keeps_tokens and self.shards > 1:
            raise InputError(
                f"config: run.keep_tokens: expected false with shards, found true and {self.shards} shards; take one."
            )
        single = {"pairs": ALL, "unpaired": self.unpaired[0]}
        self.identifiability = {"methods": [], **single} | self.tables.get("identifiability", {})
        self.ablations = {"vary": [], "full": {}, **single} | self.tables.get("ablations", {})
        self._fusions, self._scorers = values.get("fusions", {}), values.get("scorers", {})

    @functools.cached_property
    def vqa(self) -> Vqa:
        """Visual question answering."""
        return Vqa(self, self._fusions, self.tables.get("vqa"))

    @functools.cached_property
    def generation(self) -> Generation:
        """Generation both ways."""
        return Generation(self, self.tables.get("generation"), self._scorers)

    @functools.cached_property
    def classification(self) -> Classification:
        """Zero-shot classification."""
        return Classification(self, self.tables.get("classification"), self._fitted)

    def _fitted(self) -> list[dict[str, Any]]:
        return cells(self.grid())

    @functools.cached_property
    def raw(self) -> RawItems:
        """The methods that read raw items."""
        return RawItems(self, self.selected(), self.of_features())

    def selected(self) -> list[str]:
        """The methods that a table or a fusion names."""
        return self._selected

    @functools.cached_property
    def _selected(self) -> list[str]:
        named = [*self.tables["retrieval"]["methods"], *self.generation.methods, *self.of_features()]
        return list(dict.fromkeys([*named, *self.ablation_grid(full=True)["methods"]]))

    def outside(self) -> list[str]:
        """The selected methods whose maps come from a user's rule."""
        return [name for name in self.selected() if self.method_spec(name)["kind"] == "outside"]

    def of_features(self) -> list[str]:
        """The methods whose maps between the encoders' features a table or a fusion needs."""
        return [*self.identifiability["methods"], *self.vqa.aligners()]

    def vision_text_names(self, datasets: list[str]) -> list[str]:
        """The names of figures with images: each data set with each pair of a vision and a text encoder."""
        return [f"{dataset}.{vision}.{text}" for dataset in datasets for vision, text in self.image_text_pairs()]

    def staged(self, staged: bool) -> str:
        """A regular expression of the selected methods with (or without) a transport stage."""
        names = [n for n in self.selected() if self.method(n).has_plan == staged and n not in self.raw.names()]
        return "|".join(map(re.escape, names)) or "(?!)"

    def derived(self, base: str, option: str, value: Any) -> tuple[str, str]:
        """(label in the ablation table, name) of a method with another value of one option, or of several.

        value: the option's, or a mapping of this option and others.  A value that the base already has is no change.
        """
        changes, now = value if isinstance(value, Mapping) else {option: value}, self.method(base).params()
        if option not in changes:
            raise InputError(f"config: tables.ablations: expected {option!r} among {dict(changes)}; add its value.")
        texts = {name: _plain(new) for name, new in changes.items()}
        further = [f"{name}={text}" for name, text in sorted(texts.items()) if name != option]
        same = {name for name in changes if name in now and _same(now[name], changes[name])}
        new = [f"{name}={text}" for name, text in sorted(texts.items()) if name not in same]
        name = "~".join([base, *new])
        self.method(name)  # an unknown option, or a value that it can't have, raises here
        return ", ".join([texts[option], *further]), name

    def panels(self) -> list[dict[str, Any]]:
        """The panels of the ablations, `full.vary` last: methods, an option and its values."""
        varied = self.ablations["vary"] + self.ablations["full"].get("vary", [])
        return [{**panel, "methods": _listed(panel["method"])} for panel in varied]

    def ablation_groups(self, full: bool = False) -> list[dict[str, Any]]:
        """The ablations one by one: base, its setting, option, rows [[value, method, setting], ...], the base's too.

        full: with the values of `full.vary`.  Rows are sorted by number; rows without a number come last.
        """
        values: dict[tuple[str, str], list] = {}
        for panel in self.panels()[: None if full else len(self.ablations["vary"])]:
            for base in panel["methods"]:
                values.setdefault((base, panel["option"]), []).extend(panel["values"])
        return [self._group(base, option, options) for (base, option), options in values.items()]

    def _group(self, base: str, option: str, values: list) -> dict[str, Any]:
        """One ablation: an option of a method, or its setting."""
        unpaired = self._setting(base)
        if option == SETTING:
            for value in values:
                known("tables.ablations.vary", SETTING, value, VARIED)
            if unpaired == NONE:
                raise InputError(
                    "config: tables.ablations: expected methods that see unpaired rows where the setting is varied, "
                    f"found {base!r}, which sees none; take it out, or lower pairs."
                )
            named = all(dataset in self.foreign for dataset in self.run["datasets"])  # or there are none
            seen = [value for value in values if named or value != FOREIGN]
            rows = [[value, base, value] for value in dict.fromkeys([unpaired, *seen])]
        else:
            names = {name: label for label, name in (self.derived(base, option, value) for value in values)}
            if base not in names:
                names = {base: _plain(self.method(base).params()[option])} | names
            rows = [[label, name, self._setting(name)] for name, label in names.items()]
            rows.sort(key=lambda row: _number(row[0]))
        return {"base": base, "unpaired": unpaired, "option": option, "rows": rows}

    def _setting(self, name: str) -> str:
        """The setting of a method in the ablations' table, except where the setting is varied."""
        ((_, [unpaired]),) = self.at(name, self.ablations).items()
        return unpaired

    def ablation_grid(self, full: bool = False) -> dict[str, Any]:
        """The runs that the ablation table needs, and its groups."""
        table, groups = self.ablations, self.ablation_groups(full)
        settings: dict[str, dict[str, None]] = {}
        for _, name, unpaired in [row for group in groups for row in group["rows"]]:
            settings.setdefault(name, {})[unpaired] = None
        seeds = table.get("seeds", self.run["seeds"])
        return {
            "datasets": self.run["datasets"],
            "encoder_pairs": self.run["encoder_pairs"],
            "methods": {name: {self.budget(name, table["pairs"]): list(seen)} for name, seen in settings.items()},
            "seeds": table["full"].get("seeds", seeds) if full else seeds,
            "groups": groups,
        }

    def identifiability_grid(self) -> dict[str, Any]:
        """The runs that the identifiability tables need: at one budget, or at the only one of a method's kind."""
        table = self.identifiability
        return {
            "datasets": self.run["datasets"],
            "encoder_pairs": self.run["encoder_pairs"],
            "methods": {name: self.at(name, table) for name in table["methods"]},
            "seeds": table.get("seeds", self.run["seeds"]),
        }

    def grid(self) -> dict[str, Any]:
        """The runs that the retrieval table needs, in short; `cells` lists them."""
        table, only = self.tables["retrieval"], self.tables["retrieval"].get("only", [])
        kept = {some["method"]: [str(p) for p in some["pairs"]] for some in only if "pairs" in some}
        seeds = {"seeds_of": {some["method"]: some["seeds"] for some in only if "seeds" in some}}
        return {
            "datasets": self.run["datasets"],
            "encoder_pairs": self.run["encoder_pairs"],
            "methods": {
                name: {p: self.settings(name, p, self.unpaired) for p in self.budgets(name) if p in kept.get(name, [p])}
                for name in table["methods"]
            },
            "seeds": self.run["seeds"],
            **(seeds if seeds["seeds_of"] else {}),
            **({"references": [dict(sorted(r.items())) for r in table["references"]]} if "references" in table else {}),
        }


def cells(grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every run of a grid, as the fields of its identity."""
    return [
        {"dataset": dataset, "vision": vision, "text": text, "method": name}
        | {"pairs": pairs, "unpaired": unpaired, "seed": seed}
        for dataset in grid["datasets"]
        for vision, text in grid["encoder_pairs"]
        for name, budgets in grid["methods"].items()
        for pairs, settings in budgets.items()
        for unpaired in settings
        for seed in grid.get("seeds_of", {}).get(name, grid["seeds"])
    ]


def _listed(value: str | list[str]) -> list[str]:
    """One or several names, as a list."""
    return [value] if isinstance(value, str) else value


def _plain(value: Any) -> str:
    """A value as YAML writes it, so that reading restores it; a whole number without its point."""
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    return yaml.safe_dump(value, default_flow_style=True, width=math.inf).removesuffix("...\n").strip()


def _same(one: Any, other: Any) -> bool:
    """Whether two values mean the same: 1 and 1.0 do, 1 and true don't."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _number(text: str) -> float:
    """A number to sort by; words come after all numbers."""
    try:
        return float(text)
    except ValueError:
        return math.inf
