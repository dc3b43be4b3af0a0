"""The runs of a job: the options of each, the files that it reads, the files that it writes."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from ngw.config.batches import FILES, FITS, PLACE, Batches
from ngw.config.names import FUSION, RUN, as_text, module
from ngw.config.sections import Sections
from ngw.features.clouds import FOREIGN, NONE
from ngw.tasks import CEILING

DECODERS = {"generate-captions": "{text}/seed{seed}/captioner", "generate-images": "{vision}/seed{seed}/imager"}


def _folder(cell: Mapping[str, Any]) -> str:
    """The folder of all runs of a cell's method, or fusion."""
    pattern = FUSION if "fusion" in cell else RUN
    return pattern.partition("/pairs")[0].format(**cell)


class Runs:
    """Input and parameter functions of Snakemake for the stages that run in batches."""

    def __init__(self, config: Sections) -> None:
        self.config, self.batches = config, Batches(config)

    def runs(self, stage: str, *outside: Callable) -> Callable:
        """A parameter function: a job's runs, as `ngw batch` reads them.  outside: fingerprints of files elsewhere."""

        def text(wildcards):
            groups = {}
            for cell in self.batches.runs(stage, wildcards):
                groups.setdefault(_folder(cell), []).append(cell)
            some = [self._shared(stage, cells[0]) | {"folder": folder} for folder, cells in groups.items()]
            for group, cells in zip(some, groups.values(), strict=True):
                group["runs"] = [self._run(stage, cell) for cell in cells]
            return as_text({"outside": [fingerprint(wildcards) for fingerprint in outside], "groups": some})

        return text

    def kinds(self, stage: str) -> Callable:
        """A function: the kinds of the methods of a job's runs."""

        def modules(wildcards):
            names = dict.fromkeys(cell["method"] for cell in self.batches.runs(stage, wildcards))
            return list(dict.fromkeys(part for name in names for part in self._parts(name)))

        return modules

    def _parts(self, method: str) -> list[str]:
        """The module of a method's kind; none for the decoders' ceiling."""
        return [] if method == CEILING else module("methods", self.config.method_spec(method))

    def _shared(self, stage: str, cell: Mapping[str, Any]) -> dict[str, Any]:
        """What a group's runs have in common: components' modules, names of input and output files."""
        vqa = self.config.vqa
        if stage == "vqa":
            reads = {"training": "training.json", "results": f"predictions/{vqa.table['split']}.json"}
            return {"parts": [], "reads": reads, "makes": FILES[stage]}
        if stage == "fuse":
            run = vqa.aligned_run(cell)
            parts = module("fusion", vqa.spec(cell["fusion"]))
            parts += module("methods", self.config.method_spec(run["method"])) if run else []
            return {"parts": parts, "reads": {}, "makes": {}, "files": vqa.made()}
        method, reads = cell["method"], {}
        if stage == "maps":
            reads = {"plan": "plan.safetensors"}
        elif stage not in FITS and method != CEILING:
            key = "bridge" if method in self.config.raw.names() else "model"
            reads = {key: f"{key}.safetensors"}
        return {"parts": self._parts(method), "reads": reads, "makes": FILES[stage]}

    def _run(self, stage: str, cell: Mapping[str, Any]) -> dict[str, Any]:
        """A run's folder inside its group's, its own options, and its input files elsewhere."""
        options, reads = {}, {}
        if stage == "fuse":
            name, run = cell["fusion"], self.config.vqa.aligned_run(cell)
            options = {"fusion": name, "spec": self.config.vqa.spec(name), "output": FUSION.format(**cell)}
            options |= {"share": cell["labels"], "seed": cell["seed"]}
            reads = {} if run is None else {"model": f"{RUN}/model.safetensors".format(**run)}
        elif stage in FITS:
            options = {"method": cell["method"], "spec": self.config.method_spec(cell["method"])}
            options |= {name: cell[name] for name in ("pairs", "unpaired", "seed")}
            reads = self._foreign(cell) | self._teacher(cell)
        elif stage == "identifiability":
            reads = self._foreign(cell)
        elif stage in DECODERS:
            reads = self._decoder(stage, cell)
        folder = (FUSION if "fusion" in cell else RUN).format(**cell)
        return {"folder": folder.removeprefix(f"{_folder(cell)}/"), "options": options, "reads": reads}

    def _foreign(self, cell: Any) -> dict[str, str]:
        """The features of another data set's captions: the unpaired captions in the setting `foreign`."""
        if cell["unpaired"] != FOREIGN:
            return {}
        return {"foreign": f"results/features/{self.config.foreign[cell['dataset']]}/train/{cell['text']}.safetensors"}

    def _teacher(self, cell: Mapping[str, Any]) -> dict[str, str]:
        """The bridge of a method's teacher, a jointly trained model, at the method's budget and seed."""
        name = self.config.method(cell["method"]).teacher
        run = {**cell, "method": name, "unpaired": NONE}
        return {"teacher": f"{RUN}/bridge.safetensors".format(**run)} if name else {}

    def _decoder(self, stage: str, cell: Mapping[str, Any]) -> dict[str, str]:
        """The decoder that turns a run's latents into captions or pictures."""
        return {"decoder": f"results/decoders/{{dataset}}/{DECODERS[stage]}.safetensors".format(**cell)}

    def fitted(self, stage: str) -> Callable:
        """An input function: the files that record that the methods of a job's runs are fitted."""
        return self._of_runs(stage, lambda cell: [self.batches.fitted(cell)])

    def plans(self, stage: str) -> Callable:
        """An input function: the transport jobs' files, with the plans of a job's runs."""
        return self._of_runs(stage, lambda cell: [self.batches.done("transport", cell)])

    def foreign(self, stage: str) -> Callable:
        """An input function: the features of foreign captions that a job's runs read."""
        return self._of_runs(stage, lambda cell: self._foreign(cell).values())

    def foreign_of(self, wildcards: Any) -> str | list:
        """The features of foreign captions that a single run reads."""
        return self._foreign(wildcards).get("foreign", [])

    def teachers(self, stage: str) -> Callable:
        """An input function: the bridges from which a job's runs learn."""
        return self._of_runs(stage, lambda cell: self._teacher(cell).values())

    def decoders(self, stage: str) -> Callable:
        """An input function: the decoders of a job's runs."""
        return self._of_runs(stage, lambda cell: self._decoder(stage, cell).values())

    def decoded(self, stage: str) -> Callable:
        """An input function: the files behind the maps to a decoder's latents; none at the decoder's ceiling."""

        def maps(cell):
            if cell["method"] == CEILING:
                return []
            raw = cell["method"] in self.config.raw.names()
            return [f"{RUN}/bridge.safetensors".format(**cell) if raw else self.batches.fitted(cell)]

        return self._of_runs(stage, maps)

    def aligners(self, wildcards: Any) -> list[str]:
        """The files behind the maps of a job's fusions."""
        runs = (self.config.vqa.aligned_run(cell) for cell in self.batches.runs("fuse", wildcards))
        return list(dict.fromkeys(self.batches.fitted(run) for run in runs if run is not None))

    def answered(self, wildcards: Any) -> list[str]:
        """The files behind the answers of all fusions with one data set and pair of encoders."""
        trained = self.batches.names("fuse")
        files = (
            [self.batches.done("fuse", cell)] if cell["fusion"] in trained else self.config.vqa.answered(cell)
            for cell in self.batches.runs("vqa", wildcards)
        )
        return list(dict.fromkeys(file for some in files for file in some))

    def _of_runs(self, stage: str, files: Callable) -> Callable:
        """An input function: some files of each of a job's runs, without repetition."""

        def every(wildcards):
            return list(dict.fromkeys(file for cell in self.batches.runs(stage, wildcards) for file in files(cell)))

        return every

    def generated(self, stage: str) -> Callable:
        """An input function: the files behind the captions, or pictures, of one data set and pair of encoders."""

        def files(wildcards):
            return self.batches.made(stage, self._generated(wildcards))

        return files

    def generated_runs(self, wildcards: Any) -> list[str]:
        """The folders of the runs that generate, with one data set and pair of encoders."""
        return [RUN.format(**cell) for cell in self._generated(wildcards)]

    def _generated(self, wildcards: Any) -> list[dict[str, Any]]:
        cells = self.config.generation.cells()
        return [cell for cell in cells if all(cell[name] == wildcards[name] for name in PLACE)]

    def shown_method(self) -> str:
        """The method whose alignment is drawn: the first of the retrieval table that reads features."""
        return next(name for name in self.config.tables["retrieval"]["methods"] if name not in self.config.raw.names())

    def shown_run(self, wildcards: Any) -> dict[str, Any]:
        """The shown method's run at a middle budget, in the first setting."""
        name = self.shown_method()
        budgets = list(self.config.grid()["methods"][name].items())
        pairs, settings = budgets[len(budgets) // 2]
        run = {"method": name, "pairs": pairs, "unpaired": settings[0], "seed": self.config.run["seeds"][0]}
        return {place: wildcards[place] for place in PLACE} | run

    def shown_fitted(self, wildcards: Any) -> str:
        return self.batches.fitted(self.shown_run(wildcards))

    def shown_model(self, wildcards: Any) -> str:
        return f"{RUN}/model.safetensors".format(**self.shown_run(wildcards))

    def examples(self, wildcards: Any) -> list[dict[str, Any]]:
        """The runs on a page of examples."""
        return self.config.vqa.examples(wildcards.dataset, wildcards.vision, wildcards.text)

    def example_fitted(self, wildcards: Any) -> list[str]:
        """The files behind the first example's network and its aligner."""
        first = self.examples(wildcards)[0]
        run = self.config.vqa.aligned_run(first)
        return [self.batches.done("fuse", first), *([] if run is None else [self.batches.fitted(run)])]

    def example_model(self, wildcards: Any) -> str:
        """`--model FILE` with the aligner of that network, if it has one."""
        run = self.config.vqa.aligned_run(self.examples(wildcards)[0])
        return "" if run is None else f"--model {shlex.quote(f'{RUN}/model.safetensors'.format(**run))}"
