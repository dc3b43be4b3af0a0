"""Which runs share a job: a method's, or those at one of its budgets; all methods' where a run takes a second."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from ngw.config.names import DONE, FUSED, FUSION, RUN, SCORED
from ngw.config.sections import Sections, cells
from ngw.tasks import CEILING

PLACE = ("dataset", "vision", "text")
FITS = ("transport", "maps", "fit")  # the stages that fit methods between features
LONG = ("transport",)  # hours per run at the paper's size
SHORT = ("retrieval", "classification", "identifiability", "generate-captions", "generate-images")  # or seconds
ALL = "all~"  # the name of a batch of all methods, with the marks of `Batches`
FILES = {  # a stage's output files for a run, by option
    "transport": {"output": "plan.safetensors"},
    "maps": {"output": "model.safetensors"},
    "fit": {"output": "model.safetensors"},
    "retrieval": {"predictions": "predictions/retrieval.parquet", "record": "metrics/retrieval.json"},
    "classification": {"predictions": "predictions/classification.parquet", "record": "metrics/classification.json"},
    "identifiability": {"record": "metrics/identifiability.json"},
    "generate-captions": {
        "captions": "predictions/captions.json", "nearest": "predictions/captions-nearest.json",
        "record": "captions.json",
    },
    "generate-images": {
        "images": "predictions/images.zip", "nearest": "predictions/images-nearest.json", "record": "images.json",
    },
    "vqa": {"predictions": "predictions/vqa.parquet", "record": "metrics/vqa.json"},
}  # fmt: skip

Cell = dict[str, Any]


def base(name: str) -> str:
    """The method that gives a batch its name."""
    return name.rstrip("~")


class Batches:
    """The config's runs, sorted into jobs.

    A batch has the name of its method, or of its fusion.  `ngw~` has the runs of ngw and of the methods derived from it
    that only the ablations' table needs; `ngw~~` those that only the full one needs.  All methods share the jobs of a
    short stage: `all~`, `all~~`, `all~~~`.  With `run.grain: budget` each method has its own jobs of short stages, and
    the runs of long stages are cut into parts, one for each budget of pairs.
    """

    def __init__(self, config: Sections) -> None:
        self.config, self.whole = config, config.run.get("grain", "method") == "method"

    @functools.cached_property
    def _tables(self) -> dict[str, list[Cell]]:
        """{stage: the runs that tables need from it}; runs of the ablations come last."""
        config = self.config
        ablations: list[Cell] = [*cells(config.ablation_grid()), *cells(config.ablation_grid(full=True))]
        generated = config.generation.cells()
        fused = [cell for cell in config.vqa.cells() if cell["fusion"] in config.vqa.staged("fuse")]
        tables: dict[str, list[Cell]] = {
            "identifiability": cells(config.identifiability_grid()),
            "classification": self._fitted(config.classification.cells()),
            "retrieval": self._fitted([*cells(config.grid()), *ablations]),
        }
        maps = [cell for some in tables.values() for cell in some]
        maps = self._fitted([*config.vqa.aligned(), *generated, *maps])
        fits = [cell for cell in maps if cell["method"] not in self._outside]
        return tables | dict.fromkeys(FITS, fits) | {
            "generate-captions": generated,
            "generate-images": generated if config.generation.images else [],
            "fuse": fused,
        }  # fmt: skip

    def _fitted(self, some: Iterable[Cell]) -> list[Cell]:
        """The runs whose method is fitted to features."""
        others = {*self.config.raw.names(), CEILING}
        return [cell for cell in some if cell["method"] not in others]

    @functools.cached_property
    def _ablated(self) -> dict[str, str]:
        """{run: the name of its batch} for the runs that only tables of ablations need."""
        config = self.config
        names: dict[str, str] = {}
        for grid, mark in ((config.ablation_grid(full=True), "~~"), (config.ablation_grid(), "~")):
            names |= {RUN.format(**cell): cell["method"].split("~")[0] + mark for cell in cells(grid)}
        others = [*cells(config.grid()), *cells(config.identifiability_grid()), *config.vqa.aligned()]
        for cell in [*others, *config.generation.cells(), *config.classification.cells()]:
            names.pop(RUN.format(**cell), None)
        return names

    def name(self, stage: str, cell: Cell) -> str:
        """The name of a run's batch."""
        if "fusion" in cell:
            return str(cell["fusion"])
        name = str(self._ablated.get(RUN.format(**cell), cell["method"]))
        return ALL + name[len(base(name)) :] if self.whole and stage in SHORT else name

    def part(self, stage: str, cell: Cell) -> str:
        """The part of its batch that contains a run."""
        return "runs" if self.whole or stage not in LONG else f"pairs{cell['pairs']}"

    def names(self, stage: str) -> list[str]:
        """The batches of a stage."""
        return list(dict.fromkeys(key[3] for key in self._jobs[stage]))

    @functools.cached_property
    def _outside(self) -> set[str]:
        """The methods that a user's rule fits, one job per run."""
        return set(self.config.outside())

    def _has_plan(self, name: str) -> bool:
        return self.config.method(name).has_plan

    def done(self, stage: str, cell: Cell) -> str:
        """The file that records that a stage has written a run's files."""
        key = "fusion" if "fusion" in cell else "method"
        pattern, where = (FUSED if key == "fusion" else DONE), {name: cell[name] for name in PLACE}
        return pattern.format(**where, **{key: self.name(stage, cell)}, part=self.part(stage, cell), stage=stage)

    def fitted(self, cell: Cell) -> str:
        """The file that records that a run's method is fitted."""
        if cell["method"] in self._outside:
            return f"{RUN}/model.safetensors".format(**cell)
        return self.done("maps" if self._has_plan(cell["method"]) else "fit", cell)

    def runs(self, stage: str, job: Any) -> list[Cell]:
        """The runs of a job, by its wildcards."""
        if stage == "vqa":  # one job for a data set and pair of encoders
            return [cell for cell in self.config.vqa.cells() if all(cell[name] == job[name] for name in PLACE)]
        name = job.fusion if stage == "fuse" else job.method
        return self._jobs[stage].get((job.dataset, job.vision, job.text, name, job.part), [])

    @functools.cached_property
    def _jobs(self) -> dict[str, dict[tuple, list[Cell]]]:
        jobs: dict[str, dict[tuple, dict[str, Cell]]] = {}
        for stage, some in self._tables.items():
            of_stage = jobs.setdefault(stage, {})
            for cell in some:
                if stage in FITS and self._has_plan(cell["method"]) != (stage != "fit"):
                    continue
                key = (*(cell[name] for name in PLACE), self.name(stage, cell), self.part(stage, cell))
                of_stage.setdefault(key, {})[(FUSION if "fusion" in cell else RUN).format(**cell)] = cell
        return {stage: {key: list(runs.values()) for key, runs in some.items()} for stage, some in jobs.items()}

    @functools.cached_property
    def _own(self) -> dict[str, set[str]]:
        """{stage: the folders of its runs}."""
        return {
            stage: {RUN.format(**cell) for runs in some.values() for cell in runs if "fusion" not in cell}
            for stage, some in self._jobs.items()
        }

    def made(self, stage: str, some: Iterable[Cell]) -> list[str]:
        """The files, each once, that record that a stage has written some runs' files; a user's rule writes its own."""
        own = self._own[stage]
        files: list[str] = []
        for cell in some:
            single = [f"{RUN}/{file}".format(**cell) for file in FILES[stage].values()]
            files += [self.done(stage, cell)] if RUN.format(**cell) in own else single
        return list(dict.fromkeys(files))

    def _scored(self) -> dict[str, tuple[str, list[Cell]]]:
        """{table: (stage of its records, its runs)} of the tables of fitted methods."""
        config = self.config
        return {
            "retrieval": ("retrieval", cells(config.grid())),
            "classification": ("classification", config.classification.cells()),
            "identifiability": ("identifiability", cells(config.identifiability_grid())),
            "ablations": ("retrieval", cells(config.ablation_grid())),
        }

    def records(self) -> dict[str, dict[str, str]]:
        """{table: {record of each of its runs: output of the job that writes it}}, relative to the project's root."""
        config, generated = self.config, self.config.generation.cells()
        records = {
            table: {f"{RUN}/metrics/{stage}.json".format(**cell): self.made(stage, [cell])[-1] for cell in runs}
            for table, (stage, runs) in self._scored().items()
        }
        records["vqa"] = {f"{FUSION}/metrics/vqa.json".format(**c): SCORED.format(**c) for c in config.vqa.cells()}
        for table, file in (("captions", "captioning"), ("images", "imaging")):
            paths = [f"{RUN}/metrics/{file}.json".format(**c) for c in generated]
            records[table] = {path: path for path in paths} if file == "captioning" or config.generation.images else {}
        return {table: some for table, some in records.items() if some}

    def fits(self) -> dict[str, str]:
        """{record of a fitted method: output of the job that fits it}, since one job scores all methods' runs."""
        return {
            f"{RUN}/metrics/{stage}.json".format(**cell): self.fitted(cell)
            for stage, runs in self._scored().values()
            for cell in self._fitted(runs)
        }
