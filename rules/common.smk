# The config, checked; wildcard constraints; input and parameter functions. The only file of rules with `def`.
import json
import os
from pathlib import Path

import ngw.config

ROOT = Path(workflow.basedir).parent
CONFIG = ngw.config.Config(config, ROOT / "workflow/schemas/config.schema.yaml")
RUN = ngw.config.RUN


wildcard_constraints:
    dataset="|".join(CONFIG.datasets),
    vision="|".join(CONFIG.encoders),
    text="|".join(CONFIG.encoders),
    encoder="|".join(CONFIG.encoders),
    split="train|val|test",
    pairs=r"\d+|all",
    seed=r"\d+",


def baseline_rules():
    """The files of rules/baselines, relative to the Snakefile."""
    return sorted(
        f"../rules/baselines/{path.name}"
        for path in (ROOT / "rules/baselines").glob("*.smk")
    )


def relative(paths):
    """Paths as seen from the working directory, so that a moved repository reruns nothing."""
    return sorted(os.path.relpath(path) for path in paths)


def sources(*patterns):
    """Source files of the package, as inputs: an edit reruns what depends on them, a touch reruns nothing."""
    return relative(
        path for pattern in patterns for path in (ROOT / "ngw").glob(pattern)
    )


ENGINE = sources("ot/*.py", "maps/*.py", "optim.py", "clouds.py")  # what fits run on


def dataset_spec(wildcards):
    return json.dumps(CONFIG.datasets[wildcards.dataset])


def encoder_spec(wildcards):
    return json.dumps(CONFIG.encoders[wildcards.encoder])


def encoder_code(wildcards):
    return relative(ngw.encoders.code(CONFIG.encoders[wildcards.encoder]["kind"]))


def method_spec(wildcards):
    return json.dumps(CONFIG.method_spec(wildcards.method))


def method_code(wildcards):
    return relative(CONFIG.code(wildcards.method))


def output_folder(wildcards, output):
    return str(Path(output[0]).parent)


def input_folder(wildcards, input):
    return str(Path(input[0]).parent)


def runs(file):
    """That file of every run that the retrieval table needs."""
    return [f"{RUN}/{file}".format(**cell) for cell in ngw.config.cells(CONFIG.grid())]
