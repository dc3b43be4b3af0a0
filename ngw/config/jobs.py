"""The inputs and parameters of a job, from its wildcards: entries, kinds, sources, files of other jobs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any

from ngw import data, encoders, fusion
from ngw.config.batches import base
from ngw.config.names import FUSION, RUN, as_text, module
from ngw.config.runs import Runs
from ngw.config.sections import Sections
from ngw.encoders._huggingface import sources as model_sources


class Jobs(Runs):
    """Input and parameter functions of Snakemake: each takes a job's wildcards.

    `spec`: an entry as JSON; `kind`, `kinds`: modules for the fingerprint of the code; `sources`: paths outside
    `results/`. An optional file that a job lacks is an empty list.
    """

    def __init__(self, config: Sections) -> None:
        super().__init__(config)

    def dataset_spec(self, wildcards: Any) -> str:
        """A data set's entry without its templates, since no image depends on them: see `templates`."""
        entry = self.config.datasets[wildcards.dataset]
        return as_text({name: value for name, value in entry.items() if name != "templates"})

    def templates(self, wildcards: Any) -> str:
        """`--templates JSON` of a data set's prompts, if its entry has templates."""
        given = self.config.datasets[wildcards.dataset].get("templates")
        return f"--templates {shlex.quote(json.dumps(given))}" if given else ""

    def dataset_kind(self, wildcards: Any) -> list[str]:
        return module("data", self.config.datasets[wildcards.dataset])

    def dataset_sources(self, wildcards: Any) -> list[str]:
        return data.sources(self.config.datasets[wildcards.dataset])

    def encoder_spec(self, wildcards: Any) -> str:
        return as_text(self.config.encoders[wildcards.encoder])

    def kept(self, split: str, side: str = "encoder") -> Callable:
        """An input function: the file of the tokens kept by the pass that made an encoder's features, if any."""

        def file(wildcards):
            encoder = wildcards[side]
            keeps = wildcards.dataset in self.config.run["datasets"] and encoder in self.keepers()
            name = split.format(**wildcards)
            return f"results/features/{wildcards.dataset}/{name}/{encoder}.kept.safetensors" if keeps else []

        return file

    def keepers(self) -> list[str]:
        """The encoders whose images' tokens are kept."""
        if not self.config.keeps_tokens:
            return []
        used = dict.fromkeys(name for pair in self.config.run["encoder_pairs"] for name in pair)
        built = {name: encoders.build(self.config.encoders[name]) for name in used}
        return [name for name, encoder in built.items() if encoder.modality == "vision" and not encoder.by_id]

    def encoder_kind(self, wildcards: Any) -> list[str]:
        return module("encoders", self.config.encoders[wildcards.encoder])

    def encoder_sources(self, wildcards: Any) -> list[str]:
        """The files of an encoder; for a vision encoder also the images."""
        encoder = encoders.build(self.config.encoders[wildcards.encoder])
        images = self.dataset_sources(wildcards) if encoder.modality == "vision" else []
        return [*encoder.sources(), *images]

    def method_spec(self, wildcards: Any) -> str:
        return as_text(self.config.method_spec(wildcards.method))

    def method_kind(self, wildcards: Any) -> list[str]:
        return module("methods", self.config.method_spec(base(wildcards.method)))

    def method_sources(self, wildcards: Any) -> list[str]:
        """The published model of a method that reads raw items."""
        return model_sources(self._published(wildcards))

    def joint_folder(self, wildcards: Any) -> str | list:
        """The CLIP of a method that reads raw items, if the workflow trains it; a published one is no job's output."""
        path = "results/joint/{dataset}/{method}/pairs{pairs}/seed{seed}"
        published = self._published(wildcards)
        return [] if published else path.format(**wildcards)

    def towers_folder(self, wildcards: Any) -> str:
        """The towers whose trunks a method merges: those of the first method that trains the same towers."""
        first = self.config.raw.towers(wildcards.method)
        return f"results/joint/{{dataset}}/{first}/towers/seed{{seed}}"

    def fusion_spec(self, wildcards: Any) -> str:
        return as_text(self.config.vqa.spec(wildcards.fusion))

    def fusion_kinds(self, wildcards: Any) -> list[str]:
        """The fusion's kind and its aligner's."""
        aligner = self.config.vqa.aligner(wildcards.fusion)
        own = module("fusion", self.config.vqa.spec(wildcards.fusion))
        return own + (module("methods", self.config.method_spec(aligner)) if aligner else [])

    def fusion_answers(self, wildcards: Any) -> str | list:
        """The features of the answers, if the fusion compares images with them."""
        compares = fusion.build(self.config.vqa.spec(wildcards.fusion)).compares
        return "results/features/{dataset}/{text}.answers.safetensors".format(**wildcards) if compares else []

    def aligned_on(self, wildcards: Any) -> str | list:
        """The images on which the aligners are fitted, if they are not the questions' own data set."""
        other = self.config.vqa.table["aligned_on"].get(wildcards.dataset)
        return [] if other is None else f"results/data/{other}/images.parquet"

    def captioner_sources(self, wildcards: Any) -> list[str]:
        """The language model that a captioner starts from."""
        return model_sources(self.config.generation.table["captioner"].get("model"))

    def imager_sources(self, wildcards: Any) -> list[str]:
        """The autoencoder and the pretrained decoder of an image decoder."""
        options = self.config.generation.table["imager"]
        return model_sources(options.get("vae"), options.get("unclip"))

    def network_kind(self, wildcards: Any) -> list[str]:
        """The kind of the encoder whose features compare the pictures."""
        return module("encoders", self.config.generation.network())

    def network_sources(self, wildcards: Any) -> list[str]:
        network = self.config.generation.network()
        return encoders.build(network).sources() if network else []

    def vision_kind(self, wildcards: Any) -> list[str]:
        return module("encoders", self.config.encoders[wildcards.vision])

    def vision_sources(self, wildcards: Any) -> list[str]:
        return encoders.build(self.config.encoders[wildcards.vision]).sources()

    def clip_kind(self, wildcards: Any) -> list[str]:
        """The module that reads a jointly trained model, or a scorer."""
        return ["ngw.encoders.clip"]

    def caption_count(self, wildcards: Any) -> str:
        """`--count N`, if not all test images are captioned."""
        count = self.config.generation.table["count"]
        return f"--count {count}" if count else ""

    def sheet_runs(self, file: str) -> Callable:
        """An input function: a file of each run on the sheets of captions and of pictures."""

        def files(wildcards):
            cells = self.config.generation.sheet(wildcards.dataset, wildcards.vision, wildcards.text)
            return [f"{RUN}/{file}".format(**cell) for cell in cells]

        return files

    def shown_kind(self, wildcards: Any) -> list[str]:
        """The kind of the method whose alignment is drawn."""
        return module("methods", self.config.method_spec(self.shown_method()))

    def scorer(self, wildcards: Any) -> str | list:
        """The CLIP that judges pictures, if the workflow trains it; a published one is no job's output."""
        if not self.config.generation.images:
            return []
        name = self.config.generation.images["scorer"]
        published = "model" in self.config.generation.scorers[name]
        return [] if published else f"results/scorers/{name}"

    def scorer_sources(self, wildcards: Any) -> list[str]:
        """A published scorer's folder, or the sources of a trained scorer's data."""
        generation = self.config.generation
        name = getattr(wildcards, "scorer", None) or (generation.images or {})["scorer"]
        entry = generation.scorers[name]
        if "model" in entry:
            return model_sources(entry["model"])
        return data.sources(self.config.datasets[entry["dataset"]])

    def joint_kind(self, wildcards: Any) -> list[str]:
        return ["ngw.methods.joint"]

    def scorer_data(self, wildcards: Any) -> str:
        """The training images of a scorer."""
        name = self.config.generation.scorers[wildcards.scorer]["dataset"]
        return f"results/data/{name}/images.parquet"

    def scorer_option(self, key: str, default: int) -> Callable:
        """A parameter function: a key of a scorer's entry."""

        def option(wildcards):
            return self.config.generation.scorers[wildcards.scorer].get(key, default)

        return option

    def scorer_spec(self, wildcards: Any) -> str:
        """A scorer's training options, as a joint model's entry."""
        training = self.config.generation.scorers[wildcards.scorer].get("training", {})
        return as_text({"kind": "joint", **training})

    def example_runs(self, file: str) -> Callable:
        """A parameter function: a file of each run on a page of examples."""

        def files(wildcards):
            return [f"{FUSION}/{file}".format(**cell) for cell in self.examples(wildcards)]

        return files

    def example_network(self, wildcards: Any) -> str:
        """The network of the first of these runs, whose attention is shown."""
        return f"{FUSION}/model.safetensors".format(**self.examples(wildcards)[0])

    def example_kinds(self, wildcards: Any) -> list[str]:
        """The kinds of that network, its aligner, and the encoder whose view of images is drawn."""
        network = type(wildcards)(fromdict=self.examples(wildcards)[0])
        encoder = module("encoders", self.config.encoders[wildcards.vision])
        return self.fusion_kinds(network) + encoder

    def _published(self, wildcards: Any) -> str | None:
        """The published model of a method that reads raw items."""
        method: Any = self.config.method(wildcards.method)
        return method.model
