"""The config of zero-shot classification: the labelled data sets, and the runs that classify them. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ngw import data, encoders
from ngw.config.definitions import Definitions
from ngw.config.names import known
from ngw.errors import InputError

PROBE = "results/probes/{dataset}/{vision}"


class Classification:
    """The section `tables.classification`; without it there are no runs.

    The runs are the retrieval table's on one data set, `aligned_on`: one fit serves both tables.
    """

    def __init__(self, definitions: Definitions, table: Mapping[str, Any] | None, fitted: Callable[[], Any]) -> None:
        """fitted: returns the runs of the retrieval table."""
        given = table or {}
        defaults = {"methods": [], "sets": [], "only": [], "probe": given.get("sets", [])}
        self.table = {**defaults, "aligned_on": definitions.run["datasets"][0], **given}
        self.definitions, self._fitted = definitions, fitted

    @property
    def sets(self) -> list[str]:
        """The labelled data sets."""
        return self.table["sets"]

    def check(self) -> None:
        """Every data set has classes, and the runs are fitted on other data sets."""
        where = "tables.classification"
        known(f"{where}.aligned_on", "data set", self.table["aligned_on"], self.definitions.datasets)
        if self.table["aligned_on"] not in self.definitions.run["datasets"]:
            raise InputError(
                f"config: {where}.aligned_on: expected one of run.datasets, on which methods are fitted, found "
                f"{self.table['aligned_on']!r}; name one, or add it there."
            )
        for name in self.sets:
            known(f"{where}.sets", "data set", name, self.definitions.datasets)
            if not data.labelled(self.definitions.datasets[name]):
                raise InputError(
                    f"config: {where}.sets: expected data sets with classes, found {name!r}; name another, or give it "
                    "classes."
                )
            if name == self.table["aligned_on"]:
                raise InputError(
                    f"config: {where}.sets: expected data that methods aren't fitted on, found {name!r}; name another."
                )
        for name in self.table["probe"]:
            known(f"{where}.probe", "set", name, dict.fromkeys(self.sets))
        for pair in self.definitions.image_text_pairs() if self.sets else []:
            if encoders.build(self.definitions.encoders[pair[1]]).by_id:
                raise InputError(
                    f"config: {where}: expected text encoders that read prompts, found {pair[1]!r}, which knows "
                    "texts by their ids; take it out of run.encoder_pairs, or set the table to null."
                )

    def cells(self) -> list[dict[str, Any]]:
        """Every run of the table, as the fields of its identity."""
        kept = {some["method"]: some for some in self.table["only"]}
        pairs = {tuple(pair) for pair in self.definitions.image_text_pairs()}
        runs: dict[str, list] = {name: [] for name in self.table["methods"]}
        for cell in self._fitted():
            only, name = kept.get(cell["method"], {}), cell["method"]
            if (
                name in runs
                and cell["dataset"] == self.table["aligned_on"]
                and (cell["vision"], cell["text"]) in pairs
                and cell["pairs"] in [str(p) for p in only.get("pairs", [cell["pairs"]])]
                and cell["seed"] in only.get("seeds", [cell["seed"]])
            ):
                runs[name].append(cell)
        return [cell for cells in runs.values() for cell in cells]

    def of_sets(self, pattern: str) -> list[str]:
        """A file of every labelled data set, by its pattern."""
        return [pattern.replace("{set}", name) for name in self.sets]

    def probes(self, ending: str) -> list[str]:
        """A file of every linear probe: of each data set that has one, with each vision encoder."""
        visions = dict.fromkeys(vision for vision, _ in self.definitions.image_text_pairs())
        places = [(dataset, vision) for dataset in self.table["probe"] for vision in visions]
        return [f"{PROBE}.{ending}".format(dataset=dataset, vision=vision) for dataset, vision in places]
