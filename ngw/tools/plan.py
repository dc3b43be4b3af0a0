"""What a config needs: jobs from Snakemake's dry run; hours and memory from finished jobs, else from constants.

The constants are orders of magnitude for one A100-class GPU and one server core, each with its source. They are no
measurements of the paper's run, which hasn't been run; a cluster's scheduler needs nothing better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from ngw.arguments import ConfigFiles, Root
from ngw.cli import stage
from ngw.tools.measured import Cost, Work, alike, predict, works


class Job(NamedTuple):
    """One job of a rule, or one run of a job of many runs, at COCO's size.

    gpu, cpu: hours (of a GPU; of a core).  memory: GB.  storage: MB that stay.

    power: the power of the number of images by which the hours grow; split: the split of these images, or `all`.
    """

    gpu: float
    cpu: float
    memory: float
    storage: float
    source: str
    power: int = 1
    split: str = "train"


SCALE = "benchmarks/scale.py at 6,000 images, scaled"
REHEARSED = "a rehearsal at 11,329 images, scaled"
FLOPS = "operations at 100 TFLOP/s"
JOBS = {
    "data": Job(0, 0.6, 4, 200, "every image decoded once, 50 a second and core", 1, "all"),
    "encode_shard": Job(0.04, 0.4, 8, 0, "28,000 images at 300 a second"),
    "encode": Job(0.1, 1.0, 8, 130, "a split: a third of all images and captions, 300 a second", 1, "all"),
    "encode_keeping_tokens": Job(0.2, 2.0, 8, 50_000, "100,000 images at 300 a second; 257 tokens of 1,024 float16"),
    "gather": Job(0, 0.02, 4, 350, "copies 350 MB"),
    "basis": Job(0.01, 0.1, 8, 5, "2,000 images at 300 a second", 0),
    "tokens": Job(0.15, 0.8, 16, 10_000, "100,000 images at 300 a second; 197 tokens of 256 float16"),
    "transport": Job(0, 1.7, 10, 700, "benchmarks/scale.py at 113,287 images, one of two plans, doubled", 2),
    "maps": Job(0, 0.015, 5, 5, REHEARSED),
    "fit": Job(0, 0.04, 14, 5, REHEARSED + " (the mean of methods)"),
    "retrieval": Job(0, 0.001, 2, 1, SCALE, 2, "test"),
    "classification": Job(0, 0.02, 16, 2, "140,000 images among 1,000 classes", 1, "test"),
    "joint_classification": Job(0.15, 1, 16, 2, "140,000 images at 300 a second", 1, "test"),
    "linear_probe": Job(0, 0.05, 32, 2, "1,300,000 images of 1,024 features in half an hour, scaled"),
    "tables": Job(0, 0.2, 1, 50, "samples of 4,560 runs, 0.16 seconds each", 1, "test"),
    "vqa_tables": Job(0, 0.15, 2, 50, "samples of 858 runs, 0.6 seconds each", 0),
    "classification_tables": Job(0, 0.9, 8, 50, "samples of 2,104 runs, 1.5 seconds each", 0),
    "vqa": Job(0, 0.001, 1, 6, "214,354 made answers scored in 4 seconds", 0),
    "fuse": Job(0.5, 1.0, 16, 30, FLOPS),
    "joint": Job(3.5, 28, 32, 800, FLOPS),
    "towers": Job(3.5, 28, 32, 800, FLOPS),
    "joint_bridge": Job(0.3, 2, 16, 600, "all images and captions at 300 a second"),
    "joint_retrieval": Job(0.03, 0.2, 8, 1, "5,000 images and 25,000 texts at 300 a second", 1, "test"),
    "joint_vqa": Job(3, 24, 28, 200, FLOPS),
    "train_captioner": Job(0.7, 1, 8, 500, FLOPS),
    "generate_captions": Job(0.1, 0.2, 8, 1, "5,000 captions, 15 a second", 1, "test"),
    "score_captions": Job(0, 0.02, 4, 2, "the embedded run, 5,000 images", 1, "test"),
    "train_image_decoder": Job(3, 24, 32, 600, FLOPS),
    "generate_images": Job(0.3, 0.4, 8, 500, "5,000 pictures, 5 a second", 1, "test"),
    "score_images": Job(0.005, 0.08, 8, 1, "5,000 pictures at 300 a second; 17 distances of 2,048 features", 1, "test"),
    "identifiability": Job(0, 0.6, 14, 1, REHEARSED),
}
SMALL = Job(0, 0.01, 4, 1, "not listed: tables, figures and other small jobs", 1, "test")
OTHERS = "others"  # the row of the rules that are listed nowhere
HEAD = ("jobs", "done", "GPU h", "core h", "longest h", "GB each", "GB kept")


class Row(NamedTuple):
    """The total of a rule's jobs: their number, the finished ones, those predicted from finished jobs; hours of GPUs
    and of cores, hours of the longest job, GB of the largest job, GB that stay."""

    jobs: int
    done: int
    told: int
    gpu: float
    cpu: float
    longest: float
    memory: float
    kept: float


def row(rule: str, some: Sequence[Work], known: Sequence[Work]) -> Row:
    """A rule's row.  known: finished jobs, of this project or of others."""
    each, costs, kept = JOBS.get(rule, SMALL), [], 0.0
    told = 0
    for work in some:
        cost, by_others = _cost(work, each, known)
        costs.append(cost)
        told += by_others and work.cost is None
        kept += work.runs * each.storage * work.scale(each.split) / 1024
    seconds, cores = sum(cost.seconds for cost in costs), sum(cost.cpu_seconds for cost in costs)
    memories = [cost.memory for cost in costs if not math.isnan(cost.memory)]
    done = sum(work.cost is not None for work in some)
    return Row(
        len(some), done, told, seconds / 3600 if each.gpu else 0.0, cores / 3600,
        max(cost.seconds for cost in costs) / 3600, max(memories, default=each.memory), kept,
    )  # fmt: skip


def _cost(work: Work, each: Job, known: Sequence[Work]) -> tuple[Cost, bool]:
    """A job's cost, measured or predicted, and whether it comes from finished jobs.

    Rehearsals, whose networks are tiny, don't predict the hours of GPU jobs; they do predict the memory of the data.
    """
    if work.cost is not None and not (work.made and each.gpu):
        return work.cost, True
    hours, some = constant(work), alike(work, known)
    cost = predict(work, some, each.split, each.power)
    if cost is None:
        return hours, False
    if not each.gpu:
        return cost._replace(seconds=cost.cpu_seconds), True  # on one core, however busy the measured machine was
    real = predict(work, [other for other in some if not other.made], each.split, each.power)
    if real is not None:
        return real._replace(memory=cost.memory), True
    return hours._replace(memory=max(hours.memory, cost.memory)), False


def constant(work: Work) -> Cost:
    """A job's cost by the constants: seconds of its GPU, or of one core; core seconds; GB."""
    each = JOBS.get(work.rule, SMALL)
    scaled = work.runs * work.scale(each.split) ** each.power * 3600
    return Cost((each.gpu or each.cpu) * scaled, each.cpu * scaled, each.memory)


def lines(jobs: Sequence[Work], known: Sequence[Work] = ()) -> list[str]:
    """A line per rule, the longest first: its `Row` and the row's source; then their sum, and the part that is left."""
    known = [*(work for work in jobs if work.cost is not None), *known]
    rows, left = _rows(jobs, known), _rows([work for work in jobs if work.cost is None], known)
    text = [f"{'rule':24}" + "".join(f"{name:>10}" for name in HEAD) + "  by"]
    for rule, one in sorted(rows.items(), key=lambda item: -item[1].gpu - item[1].cpu / 16):
        text.append(_line(rule, one, f"{one.longest:10,.2f}{one.memory:10,.1f}", _by(rule, one)))
    text.append(_line("all", _total(rows), f"{'':20}", ""))
    return text + ([_line("left of it", _total(left), f"{'':20}", "")] if known else [])


def _rows(jobs: Sequence[Work], known: Sequence[Work]) -> dict[str, Row]:
    """Each rule's row; rules of small jobs without any finished job share one row."""
    rules: dict[str, list[Work]] = {}
    told = {*JOBS, *(work.rule for work in known)}
    for work in jobs:
        rules.setdefault(work.rule if work.rule in told else OTHERS, []).append(work)
    return {rule: row(rule, some, known) for rule, some in rules.items()}


def _total(rows: Mapping[str, Row]) -> Row:
    """The sums of all rows."""
    return Row(**{name: sum(getattr(one, name) for one in rows.values()) for name in Row._fields})


def _line(name: str, one: Row, middle: str, by: str) -> str:
    counts = f"{one.jobs:10,}{one.done:10,}"
    return f"{name:24}{counts}{one.gpu:10,.1f}{one.cpu:10,.1f}{middle}{one.kept:10,.1f}  {by}".rstrip()


def _by(rule: str, one: Row) -> str:
    """The sources of a rule's numbers."""
    rest = one.jobs - one.done - one.told
    parts = ["measured"] * bool(one.done) + [f"{one.told:,} by finished jobs"] * bool(one.told)
    return "; ".join([*parts, *[JOBS.get(rule, SMALL).source] * bool(rest)])


@stage("Estimate jobs, hours, memory and storage of a config before it runs, or while it does.")
def plan(
    configfile: ConfigFiles = (), root: Root = Path(),
    measured: Annotated[Sequence[Path], "other projects' folders (of `ngw rehearse`, say); their jobs predict these"]
    = (),
) -> None:  # fmt: skip
    """The plan command, which no rule runs: what the config files, merged over config.yaml, need."""
    from ngw.tools.status import merged_files

    jobs = works(merged_files(configfile, root), configfile, root)
    known = [work for folder in measured for work in works(merged_files((), folder), (), folder)]
    print("\n".join(lines(jobs, known)))
    if not any(work.cost for work in [*jobs, *known]):
        print("Orders of magnitude at these constants (ngw/tools/plan.py), not measurements.")
