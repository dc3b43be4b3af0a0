"""What the config says of generation: the methods whose maps are tried, the decoders' options, the runs. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ngw._config import CEILING
from ngw.clouds import ALL

if TYPE_CHECKING:
    from ngw.config import Config


class Generation:
    """The section `tables.generation`; without it there are no runs."""

    def __init__(self, config: Config, table: Mapping[str, Any] | None) -> None:
        defaults = {"methods": [], "pairs": [ALL], "seeds": config.run["seeds"], "captioner": {}}
        self.config, self.table = config, {**defaults, **(table or {})}

    @property
    def methods(self) -> list[str]:
        """The methods of the table, in its order."""
        return self.table["methods"]

    def names(self) -> list[str]:
        """Whatever the captioner reads latents of: the methods, and their ceiling."""
        return [*self.methods, CEILING] if self.methods else []

    def cells(self) -> list[dict[str, Any]]:
        """Every run of the table: the fields that say who it is. The ceiling runs once."""
        found = []
        for dataset in self.config.run["datasets"]:
            for vision, text in self.config.vqa.encoder_pairs():
                who = {"dataset": dataset, "vision": vision, "text": text}
                for name in self.methods:
                    for pairs in dict.fromkeys(self.config.budget(name, pairs) for pairs in self.table["pairs"]):
                        found += [who | {"method": name, "pairs": pairs, "seed": seed} for seed in self.table["seeds"]]
                if self.methods:
                    found.append(who | {"method": CEILING, "pairs": ALL, "seed": self.table["seeds"][0]})
        return found

    def sheet(self, dataset: str, vision: str, text: str) -> list[dict[str, Any]]:
        """The runs whose captions stand on the sheet: each method's first budget and first seed."""
        here = [c for c in self.cells() if (c["dataset"], c["vision"], c["text"]) == (dataset, vision, text)]
        first: dict[str, dict[str, Any]] = {}
        for cell in here:
            first.setdefault(cell["method"], cell)
        return list(first.values())
