"""What a job is made of, from its wildcards: entries, kinds, sources, files of other jobs. Rules ask for them here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from ngw import data, encoders, fusion
from ngw.config.names import FUSION, RUN
from ngw.config.sections import Sections
from ngw.encoders._huggingface import sources as model_sources
from ngw.features.clouds import FOREIGN, NONE


def as_text(entry: Mapping[str, Any]) -> str:
    """A config entry as text, the same for any order of its keys."""
    return json.dumps(entry, sort_keys=True)


def _module(package: str, spec: Mapping[str, Any] | None) -> list[str]:
    """The module of a component's kind, as a fingerprint of code wants it."""
    return [f"ngw.{package}.{spec['kind'].replace('-', '_')}"] if spec else []


class Jobs:
    """Input and parameter functions of Snakemake: each takes a job's wildcards.

    `spec`: an entry as JSON; `kind`, `kinds`: modules for the fingerprint of the code; `sources`: paths outside of
    `results/`. A file that a job may lack is an empty list.
    """

    def __init__(self, config: Sections) -> None:
        self.config = config

    def dataset_spec(self, wildcards: Any) -> str:
        """A data set's entry without templates, on which no image depends: see `templates`."""
        entry = self.config.datasets[wildcards.dataset]
        return as_text({name: value for name, value in entry.items() if name != "templates"})

    def templates(self, wildcards: Any) -> str:
        """The templates of a data set's prompts, where its entry gives some."""
        given = self.config.datasets[wildcards.dataset].get("templates")
        return f"--templates {shlex.quote(json.dumps(given))}" if given else ""

    def dataset_kind(self, wildcards: Any) -> list[str]:
        return _module("data", self.config.datasets[wildcards.dataset])

    def dataset_sources(self, wildcards: Any) -> list[str]:
        return data.sources(self.config.datasets[wildcards.dataset])

    def encoder_spec(self, wildcards: Any) -> str:
        return as_text(self.config.encoders[wildcards.encoder])

    def encoder_kind(self, wildcards: Any) -> list[str]:
        return _module("encoders", self.config.encoders[wildcards.encoder])

    def encoder_sources(self, wildcards: Any) -> list[str]:
        """What an encoder is made of, and where it sees images, those."""
        encoder = encoders.build(self.config.encoders[wildcards.encoder])
        images = self.dataset_sources(wildcards) if encoder.modality == "vision" else []
        return [*encoder.sources(), *images]

    def method_spec(self, wildcards: Any) -> str:
        return as_text(self.config.method_spec(wildcards.method))

    def method_kind(self, wildcards: Any) -> list[str]:
        return _module("methods", self.config.method_spec(wildcards.method))

    def method_sources(self, wildcards: Any) -> list[str]:
        """The published model of a method that reads raw items."""
        return model_sources(self._published(wildcards))

    def joint_folder(self, wildcards: Any) -> str | list:
        """The CLIP of a method that reads raw items, where it is trained here; a published one is no file of ours."""
        path = "results/joint/{dataset}/{method}/pairs{pairs}/seed{seed}"
        published = self._published(wildcards)
        return [] if published else path.format(**wildcards)

    def towers_folder(self, wildcards: Any) -> str:
        """The towers whose trunks a method merges, those of the first method that trains them alike."""
        first = self.config.raw.towers(wildcards.method)
        return f"results/joint/{{dataset}}/{first}/towers/seed{{seed}}"

    def teacher(self, wildcards: Any) -> str | list:
        """The bridge of the jointly trained model that a method learns from, at its budget and seed, if it has one."""
        name = self.config.method(wildcards.method).teacher
        run = {**wildcards, "method": name, "unpaired": NONE}
        return f"{RUN}/bridge.safetensors".format(**run) if name else []

    def foreign(self, wildcards: Any) -> str | list:
        """The features of another data set's captions, which are the unpaired ones in the setting `foreign`."""
        if wildcards.unpaired != FOREIGN:
            return []
        return f"results/features/{self.config.foreign[wildcards.dataset]}/train/{wildcards.text}.safetensors"

    def fusion_spec(self, wildcards: Any) -> str:
        return as_text(self.config.vqa.spec(wildcards.fusion))

    def fusion_kinds(self, wildcards: Any) -> list[str]:
        """The fusion's own and its aligner's."""
        aligner = self.config.vqa.aligner(wildcards.fusion)
        own = _module("fusion", self.config.vqa.spec(wildcards.fusion))
        return own + (_module("methods", self.config.method_spec(aligner)) if aligner else [])

    def fusion_model(self, wildcards: Any) -> str | list:
        """The fitted aligner of a fusion, if it has one."""
        return self.config.vqa.model(dict(wildcards)) or []

    def fusion_answers(self, wildcards: Any) -> str | list:
        """The features of the answers, if a fusion compares images with them."""
        compares = fusion.build(self.config.vqa.spec(wildcards.fusion)).compares
        return "results/features/{dataset}/{text}.answers.safetensors".format(**wildcards) if compares else []

    def aligned_on(self, wildcards: Any) -> str | list:
        """The images on which the aligners are fitted, where that isn't the data set of the questions."""
        other = self.config.vqa.table["aligned_on"].get(wildcards.dataset)
        return [] if other is None else f"results/data/{other}/images.parquet"

    def decoded_model(self, wildcards: Any) -> str | list:
        """The fitted method whose maps carry latents to a decoder, or a joint model's bridge; none at its ceiling."""
        if wildcards.method not in self.config.generation.methods:
            return []
        file = "bridge" if wildcards.method in self.config.raw.names() else "model"
        return f"{RUN}/{file}.safetensors".format(**wildcards)

    def decoded_kind(self, wildcards: Any) -> list[str]:
        """The kind of that method."""
        return self.method_kind(wildcards) if self.decoded_model(wildcards) else []

    def captioner_sources(self, wildcards: Any) -> list[str]:
        """The language model that a captioner starts from."""
        return model_sources(self.config.generation.table["captioner"].get("model"))

    def imager_sources(self, wildcards: Any) -> list[str]:
        """The autoencoder and the pretrained decoder of an image decoder."""
        options = self.config.generation.table["imager"]
        return model_sources(options.get("vae"), options.get("unclip"))

    def network_kind(self, wildcards: Any) -> list[str]:
        """The kind of the encoder between whose features pictures are compared."""
        return _module("encoders", self.config.generation.network())

    def network_sources(self, wildcards: Any) -> list[str]:
        network = self.config.generation.network()
        return encoders.build(network).sources() if network else []

    def vision_kind(self, wildcards: Any) -> list[str]:
        return _module("encoders", self.config.encoders[wildcards.vision])

    def vision_sources(self, wildcards: Any) -> list[str]:
        return encoders.build(self.config.encoders[wildcards.vision]).sources()

    def clip_kind(self, wildcards: Any) -> list[str]:
        """That by which a jointly trained model, or a scorer, is read."""
        return ["ngw.encoders.clip"]

    def caption_count(self, wildcards: Any) -> str:
        """`--count N` where not all test images are captioned."""
        count = self.config.generation.table["count"]
        return f"--count {count}" if count else ""

    def sheet_runs(self, file: str) -> Callable:
        """An input function: that file of each run on the sheets of captions and of pictures."""

        def files(wildcards):
            cells = self.config.generation.sheet(wildcards.dataset, wildcards.vision, wildcards.text)
            return [f"{RUN}/{file}".format(**cell) for cell in cells]

        return files

    def shown_method(self) -> str:
        """The method whose alignment is drawn: the first of the table that has features."""
        return next(name for name in self.config.tables["retrieval"]["methods"] if name not in self.config.raw.names())

    def shown_kind(self, wildcards: Any) -> list[str]:
        """The kind of that method."""
        return _module("methods", self.config.method_spec(self.shown_method()))

    def shown_model(self, wildcards: Any) -> str:
        """That method, fitted at a middle budget, in the first setting."""
        name = self.shown_method()
        budgets = list(self.config.grid()["methods"][name].items())
        pairs, settings = budgets[len(budgets) // 2]
        run = {"method": name, "pairs": pairs, "unpaired": settings[0]}
        seed = self.config.run["seeds"][0]
        return f"{RUN}/model.safetensors".format(**wildcards, **run, seed=seed)

    def scorer(self, wildcards: Any) -> str | list:
        """The CLIP that judges pictures, where it is trained here; a published one is no file of ours."""
        if not self.config.generation.images:
            return []
        name = self.config.generation.images["scorer"]
        published = "model" in self.config.generation.scorers[name]
        return [] if published else f"results/scorers/{name}"

    def scorer_sources(self, wildcards: Any) -> list[str]:
        """A published scorer's folder, or what the data of a trained one lie in."""
        generation = self.config.generation
        name = getattr(wildcards, "scorer", None) or (generation.images or {})["scorer"]
        entry = generation.scorers[name]
        if "model" in entry:
            return model_sources(entry["model"])
        return data.sources(self.config.datasets[entry["dataset"]])

    def joint_kind(self, wildcards: Any) -> list[str]:
        return ["ngw.methods.joint"]

    def scorer_data(self, wildcards: Any) -> str:
        """The images that a scorer learns from."""
        name = self.config.generation.scorers[wildcards.scorer]["dataset"]
        return f"results/data/{name}/images.parquet"

    def scorer_option(self, key: str, default: int) -> Callable:
        """A parameter function: that key of a scorer's entry."""

        def option(wildcards):
            return self.config.generation.scorers[wildcards.scorer].get(key, default)

        return option

    def scorer_spec(self, wildcards: Any) -> str:
        """How a scorer is trained, as a joint model's entry."""
        training = self.config.generation.scorers[wildcards.scorer].get("training", {})
        return as_text({"kind": "joint", **training})

    def examples(self, wildcards: Any) -> list[dict[str, Any]]:
        """The runs on a page of examples."""
        return self.config.vqa.examples(wildcards.dataset, wildcards.vision, wildcards.text)

    def example_runs(self, file: str) -> Callable:
        """An input function: that file of each of those runs."""

        def files(wildcards):
            return [f"{FUSION}/{file}".format(**cell) for cell in self.examples(wildcards)]

        return files

    def example_network(self, wildcards: Any) -> str:
        """The network of the first of them, whose attention is shown."""
        return f"{FUSION}/model.safetensors".format(**self.examples(wildcards)[0])

    def example_kinds(self, wildcards: Any) -> list[str]:
        """Of that network, its aligner, and the encoder whose view of images is drawn."""
        network = type(wildcards)(fromdict=self.examples(wildcards)[0])
        encoder = _module("encoders", self.config.encoders[wildcards.vision])
        return self.fusion_kinds(network) + encoder

    def example_model(self, wildcards: Any) -> str | list:
        """The aligner of that network, if it has one."""
        return self.config.vqa.model(self.examples(wildcards)[0]) or []

    def _published(self, wildcards: Any) -> str | None:
        """The published model of a method that reads raw items."""
        method: Any = self.config.method(wildcards.method)
        return method.model
