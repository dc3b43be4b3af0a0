"""The config of visual question answering: fusions and their aligners, the runs of the table. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ngw import fusion
from ngw.config.definitions import Definitions
from ngw.config.names import FUSION, SCORED, derived_spec, known, with_name
from ngw.errors import InputError
from ngw.features.clouds import ALL, NONE
from ngw.registry import check_type, make
from ngw.tasks.vqa.options import TrainingOptions

DEFAULTS = {
    "fusions": [], "curve": [], "labels": [], "pairs": ALL, "tokens": 128, "min_count": 9, "vocabulary": ["train"],
    "split": "test", "answer": [], "training": {}, "aligned_on": {}, "examples": [],
    "only": [],
}  # fmt: skip


class Vqa:
    """The section `tables.vqa`; without it there are no runs."""

    def __init__(self, definitions: Definitions, fusions: Mapping[str, Any], table: Mapping[str, Any] | None) -> None:
        self.definitions, self.fusions = definitions, fusions
        self.table = {
            **DEFAULTS,
            "datasets": definitions.run["datasets"],
            "unpaired": definitions.unpaired[0],
            "seeds": definitions.run["seeds"],
            **(table or {}),
        }
        self.names = list(dict.fromkeys([*self.table["fusions"], *self.table["curve"]]))
        self.splits = list(dict.fromkeys([self.table["split"], *self.table["answer"]]))  # the splits that are answered
        self._check()

    def _check(self) -> None:
        """Every name is defined, every fusion accepts its options, and only fusions that need an aligner have one."""
        for name in dict.fromkeys([*self.fusions, *self.names, *self.table["examples"]]):
            spec, aligner = self.spec(name), self.aligner(name)
            fuser = with_name(f"fusions.{name}", fusion.build, spec)
            if fuser.aligned != (aligner is not None):
                wanted = "an aligner" if fuser.aligned else "no aligner, since the fusion uses none"
                raise InputError(f"config: fusions.{name}: expected {wanted}, found {aligner!r}; mend it.")
            if aligner is not None:
                check_type(f"config: fusions.{name}: aligner", aligner, "str")
                known(f"fusions.{name}.aligner", "method", aligner.split("~")[0], self.definitions.methods)
                self.definitions.method(aligner)
        with_name("tables.vqa", partial(make, TrainingOptions, "training"), self.table["training"])
        for name in self.table["examples"]:
            if name in self.staged("joint-vqa"):
                raise InputError(
                    f"config: tables.vqa.examples: expected fusions of tokens, found {name!r}, which reads raw items; "
                    "name another."
                )
            if name not in self.names:
                raise InputError(
                    f"config: tables.vqa.examples: expected a fusion of the table, found {name!r}; add it."
                )
        for name in [*self.table["datasets"], *self.table["aligned_on"], *self.table["aligned_on"].values()]:
            known("tables.vqa", "data set", name, self.definitions.datasets)

    def spec(self, name: str) -> dict[str, Any]:
        """A fusion's kind and options without its aligner; `base~option=value~...` derives it from a defined fusion."""
        spec = derived_spec("fusions", "fusion", self.fusions, name)
        spec.pop("aligner", None)
        return spec

    def aligner(self, name: str) -> str | None:
        """The method whose maps a fusion uses."""
        return derived_spec("fusions", "fusion", self.fusions, name).get("aligner")

    def aligners(self) -> list[str]:
        """The methods that the table's fusions use."""
        return list(dict.fromkeys(a for a in map(self.aligner, self.names) if a is not None))

    def staged(self, stage: str) -> list[str]:
        """The fusions of the table that answer by a stage: `fuse`, `joint-vqa` (raw items) or `prior` (untrained)."""

        def made_by(row: fusion.Row) -> str:
            return "joint-vqa" if row.raw else "fuse" if row.sides else "prior"

        return [name for name in self.names if made_by(fusion.build(self.spec(name))) == stage]

    def aligned_by(self, name: str) -> dict[str, str]:
        """The pair budget of a fusion's aligner and its setting of unpaired rows; 0 and none without an aligner."""
        aligner = self.aligner(name)
        at = {"0": [NONE]} if aligner is None else self.definitions.at(aligner, self.table)
        ((pairs, [unpaired]),) = at.items()
        return {"pairs": pairs, "unpaired": unpaired}

    def cells(self) -> list[dict[str, Any]]:
        """Every run of the table, as the fields of its identity.

        An untrained fusion runs once, with all labels; one that reads raw items only with the first pair of encoders.
        """
        untrained, raw, runs = self.staged("prior"), self.staged("joint-vqa"), []
        kept = {some["fusion"]: some["seeds"] for some in self.table["only"]}
        for dataset in self.table["datasets"]:
            for k, (vision, text) in enumerate(self.definitions.image_text_pairs()):
                for name in self.names if k == 0 else [name for name in self.names if name not in raw]:
                    shares = [ALL] + [str(share) for share in self.table["labels"]] * (name in self.table["curve"])
                    seeds = self.table["seeds"][:1] if name in untrained else kept.get(name, self.table["seeds"])
                    who = {"dataset": dataset, "vision": vision, "text": text, "fusion": name, **self.aligned_by(name)}
                    runs += [who | {"labels": share, "seed": seed} for share in shares for seed in seeds]
        return runs

    def files(self, file: str) -> list[str]:
        """A file of every run of the table, by its name."""
        return [f"{FUSION}/{file}".format(**cell) for cell in self.cells()]

    def made(self) -> list[str]:
        """The files of a fusion's training in its run's folder: network, record, results of each answered split."""
        return ["model.safetensors", "training.json", *(f"predictions/{split}.json" for split in self.splits)]

    def scored(self) -> list[str]:
        """The files that record that the answers of all runs are scored."""
        return list(dict.fromkeys(SCORED.format(**cell) for cell in self.cells()))

    def answered(self, cell: Mapping[str, Any]) -> list[str]:
        """The record of a run's training, and its answers to the scored split's questions."""
        files = ("training.json", f"predictions/{self.table['split']}.json")
        return [f"{FUSION}/{file}".format(**cell) for file in files]

    def predictions(self) -> list[str]:
        """Patterns of the results files of a run."""
        return [f"{FUSION}/predictions/{split}.json" for split in self.splits]

    def aligned_run(self, cell: Mapping[str, Any]) -> dict[str, Any] | None:
        """The run of a fusion's aligner, if it has one; on the data set of `aligned_on`, if one is named there."""
        aligner, dataset = self.aligner(cell["fusion"]), cell["dataset"]
        if aligner is None:
            return None
        kept = {name: cell[name] for name in ("vision", "text", "pairs", "unpaired", "seed")}
        return kept | {"dataset": self.table["aligned_on"].get(dataset, dataset), "method": aligner}

    def aligned(self) -> list[dict[str, Any]]:
        """The runs of all aligners."""
        return [run for run in map(self.aligned_run, self.cells()) if run is not None]

    def examples(self, dataset: str, vision: str, text: str) -> list[dict[str, Any]]:
        """The runs on the page of examples: with all labels and the first seed, in the config's order."""
        who = {"dataset": dataset, "vision": vision, "text": text, "labels": ALL, "seed": self.table["seeds"][0]}
        return [who | {"fusion": name, **self.aligned_by(name)} for name in self.table["examples"]]
