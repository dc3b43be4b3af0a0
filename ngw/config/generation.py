"""The config of generation: the methods whose maps are evaluated, the decoders' options, the runs. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ngw import encoders
from ngw.config.definitions import Definitions
from ngw.config.names import RUN, known, with_name
from ngw.errors import InputError
from ngw.features.clouds import ALL, NONE
from ngw.registry import make
from ngw.tasks import CEILING
from ngw.tasks.captions.options import CaptionerOptions
from ngw.tasks.images.options import ImagerOptions


class Generation:
    """The section `tables.generation`; without it there are no runs."""

    def __init__(self, definitions: Definitions, table: Mapping[str, Any] | None, scorers: Mapping[str, Any]) -> None:
        defaults = {
            "methods": [],
            "pairs": [ALL],
            "unpaired": definitions.unpaired[0],
            "seeds": definitions.run["seeds"],
            "captioner": {},
            "imager": {},
            "count": None,
        }
        self.definitions, self.scorers, self.table = definitions, scorers, {**defaults, **(table or {})}
        self.images = {"count": 1000, "axes": None, **self.table["images"]} if "images" in self.table else None
        with_name("tables.generation", partial(make, CaptionerOptions, "captioner"), self.table["captioner"])
        with_name("tables.generation", partial(make, ImagerOptions, "imager"), self.table["imager"])
        self._check_scorers()
        if self.images:
            known("tables.generation.images.network", "encoder", self.images["network"], definitions.encoders)
            network = with_name("encoders", encoders.build, definitions.encoders[self.images["network"]])
            if network.modality != "vision":
                raise InputError(
                    f"config: tables.generation.images.network: expected an image encoder, found "
                    f"{self.images['network']!r}, a text encoder; name another."
                )
            known("tables.generation.images.scorer", "scorer", self.images["scorer"], scorers)

    def _check_scorers(self) -> None:
        """A scorer is a folder, or is trained on data that no method sees."""
        for name, scorer in self.scorers.items():
            if ("model" in scorer) == ("dataset" in scorer):
                raise InputError(
                    f"config: scorers.{name}: expected either a model or a dataset, found {scorer}; name one."
                )
            if "dataset" in scorer:
                known(f"scorers.{name}.dataset", "data set", scorer["dataset"], self.definitions.datasets)
                if scorer["dataset"] in self.definitions.run["datasets"]:
                    raise InputError(
                        f"config: scorers.{name}.dataset: expected data that no method sees, found "
                        f"{scorer['dataset']!r}, one of run.datasets; name another."
                    )

    def judges(self) -> dict[str, Any]:
        """The judges of the pictures, for the record."""
        images = self.images or {}
        published = self.scorers[images["scorer"]].get("published", False)
        return {**{k: images[k] for k in ("network", "axes", "scorer")}, "published": published}

    @property
    def methods(self) -> list[str]:
        """The methods of the table, in its order."""
        return self.table["methods"]

    def names(self) -> list[str]:
        """The sources of the decoders' latents: the methods, and the ceiling."""
        return [*self.methods, CEILING] if self.methods else []

    def cells(self) -> list[dict[str, Any]]:
        """Every run of the table, as the fields of its identity. The ceiling runs once."""
        runs = []
        for dataset in self.definitions.run["datasets"]:
            for vision, text in self.definitions.image_text_pairs():
                who = {"dataset": dataset, "vision": vision, "text": text}
                for name in self.methods:
                    for pairs in dict.fromkeys(self.definitions.budget(name, pairs) for pairs in self.table["pairs"]):
                        (unpaired,) = self.definitions.settings(name, pairs, [self.table["unpaired"]])
                        own = who | {"method": name, "pairs": pairs, "unpaired": unpaired}
                        runs += [own | {"seed": seed} for seed in self.table["seeds"]]
                if self.methods:
                    ceiling = {"method": CEILING, "pairs": ALL, "unpaired": NONE, "seed": self.table["seeds"][0]}
                    runs.append(who | ceiling)
        return runs

    def files(self, file: str) -> list[str]:
        """A file of every run of the table, by its name."""
        return [f"{RUN}/{file}".format(**cell) for cell in self.cells()]

    def of_pair(self, file: str) -> list[str]:
        """Patterns of a file of every run with one data set and pair of encoders."""
        setting = {name: f"{{{name}}}" for name in ("dataset", "vision", "text")}
        cells = self.cells()
        if not cells:  # no rule needs it, but a rule must have an output
            return [f"results/runs/{{dataset}}/{{vision}}__{{text}}/none/{file}"]
        first = {name: cells[0][name] for name in setting}
        return [f"{RUN}/{file}".format(**{**cell, **setting}) for cell in cells if first.items() <= cell.items()]

    def network(self) -> Mapping[str, Any] | None:
        """The entry of the encoder whose features compare the pictures."""
        return self.definitions.encoders[self.images["network"]] if self.images else None

    def sheet(self, dataset: str, vision: str, text: str) -> list[dict[str, Any]]:
        """The runs on the sheets: each method at its first budget and first seed."""
        here = [c for c in self.cells() if (c["dataset"], c["vision"], c["text"]) == (dataset, vision, text)]
        first: dict[str, dict[str, Any]] = {}
        for cell in here:
            first.setdefault(cell["method"], cell)
        return list(first.values())
