"""The stage export: records of runs as CLIP_benchmark's csv, or as the model-index of a Hugging Face model card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from ngw import io
from ngw.arguments import POSITIONAL
from ngw.cli import stage
from ngw.errors import InputError
from ngw.record import Record
from ngw.report.records import cell, identity

RECORDS = ("retrieval.json", "classification.json")
# Our metrics, and CLIP_benchmark's columns (clip_benchmark/metrics/zeroshot_{retrieval,classification}.py): image
# retrieval has captions as queries; text retrieval has images, which count if any own caption is among the first K.
RETRIEVAL = {
    f"{way}_recall_{k}": f"{kind}_retrieval_recall@{k}"
    for way, kind in (("t2i", "image"), ("i2t", "text"))
    for k in (1, 5, 10)
}
CLASSIFICATION = {"top_1": "acc1", "top_5": "acc5", "mean_per_class": "mean_per_class_recall"}
# Tasks by the hub's names, and metrics in words.
TASKS = {"zeroshot_retrieval": "image-text-retrieval", "zeroshot_classification": "zero-shot-image-classification"}
WORDS = {"acc1": "Accuracy", "acc5": "Top 5 accuracy", "mean_per_class_recall": "Mean per class recall"}
SUFFIXES = (".csv", ".yaml", ".yml")


class Result(NamedTuple):
    """A run's result on a data set: metrics by CLIP_benchmark's names, as fractions."""

    record: Record
    dataset: str
    task: str
    metrics: dict[str, float]

    @property
    def model(self) -> str:
        return f"{self.record['vision']}__{self.record['text']}"

    @property
    def fit(self) -> str:
        """The fit between the encoders, in the words of its path; the training data set comes first."""
        return "{dataset}/{method}/pairs{pairs}/{unpaired}/seed{seed}".format(**self.record)


@stage("Write results of runs as CLIP_benchmark's csv, or as a model card's model-index (yaml).")
def export(
    output: Annotated[Path, "a .csv, or a .yaml with one model per run"],
    runs: Annotated[Sequence[Path], POSITIONAL, "folders of runs, or records"] = (Path("results/runs"),),
) -> None:
    """The export command, which no rule runs: retrieval and classification under the field's usual names."""
    if output.suffix not in SUFFIXES:
        raise InputError(f"{output}: expected a name that ends in .csv, .yaml or .yml; name another.")
    found = [result for path in _records(runs) for result in results(Record.read(path))]
    io.write_text(output, table(found) if output.suffix == ".csv" else model_index(found))
    print(f"{output}: {len(found)} results of {len({cell(one.record) for one in found})} runs")


def _records(runs: Sequence[Path]) -> list[Path]:
    """The records at or below some paths, each once."""
    files: list[Path] = []
    for path in runs:
        inside = [path] if path.is_file() else sorted(f for name in RECORDS for f in path.rglob(f"metrics/{name}"))
        if not inside or inside[0].name not in RECORDS:
            raise InputError(f"{path}: expected records ({', '.join(RECORDS)}), found none; name a folder of runs.")
        files += inside
    return list(dict.fromkeys(files))


def results(record: Record) -> Iterator[Result]:
    """The result of a retrieval record, or those of a classification record, one per data set."""
    if "sets" in record:
        for name, known in record["sets"].items():
            yield Result(record, name, "zeroshot_classification", _renamed(known["metrics"], CLASSIFICATION))
    else:
        yield Result(record, record["dataset"], "zeroshot_retrieval", _renamed(record["metrics"], RETRIEVAL))


def _renamed(metrics: dict[str, float], names: dict[str, str]) -> dict[str, float]:
    return {theirs: metrics[ours] for ours, theirs in names.items()}


def table(found: Sequence[Result]) -> str:
    """The csv of `clip_benchmark build`, one row per result: its columns except `language`, which no record has.

    model: both encoders; pretrained: the fit between them.  Further columns: whether the fit converged, and the run's
    identity.
    """
    import pandas

    rows = []
    for one in found:
        names = {"dataset": one.dataset, "model": one.model, "pretrained": one.fit, "task": one.task}
        who = {key: value for key, value in identity(one.record).items() if key != "dataset"}
        own = {"trained_on": one.record["dataset"], **who, "seed": one.record["seed"]}
        whole = {"model_fullname": f"{one.model} {one.fit}", "converged": one.record["converged"]}
        rows.append({**names, **one.metrics, **whole, **own})
    return pandas.DataFrame(rows).to_csv(index=False)


def model_index(found: Sequence[Result]) -> str:
    """The `model-index` for a model card's front matter, one model per run, in huggingface_hub's form."""
    from huggingface_hub.repocard_data import eval_results_to_model_index
    from huggingface_hub.utils import yaml_dump

    models: dict[str, list[Any]] = {}
    for one in found:
        models.setdefault(f"{one.model}/{one.fit}", []).extend(_evaluations(one))
    index = [entry for name, entries in models.items() for entry in eval_results_to_model_index(name, entries)]
    return yaml_dump({"model-index": index}, sort_keys=False)


def _evaluations(one: Result) -> Iterator[Any]:
    """huggingface_hub's results, one per metric."""
    from huggingface_hub import EvalResult

    for name, value in one.metrics.items():
        kind, _, cutoff = name.partition("_retrieval_recall@")
        recall = one.task == "zeroshot_retrieval"
        yield EvalResult(
            task_type=TASKS[one.task], task_name=one.task, dataset_type=one.dataset, dataset_name=one.dataset,
            dataset_split="test", metric_type="recall" if recall or "recall" in name else "accuracy",
            metric_name=f"{kind.capitalize()} retrieval recall@{cutoff}" if recall else WORDS[name],
            metric_value=value, metric_args=None if one.record["converged"] else {"converged": False},
        )  # fmt: skip
