"""What a config will ask for before it runs: jobs by rule from Snakemake's dry run, hours and storage by constants.

The constants are orders of magnitude for one A100-class GPU and one core of a server, each with where it comes from.
They are no measurement of the paper's run, which hasn't been run; a cluster's scheduler needs no better.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ngw.arguments import ConfigFiles, Root
from ngw.cli import stage

OFFICIAL = {"coco": 113_287, "flickr30k": 29_000, "vqa2": 82_783, "easy-vqa": 4_000}  # training images of a kind
COCO = OFFICIAL["coco"]
OTHER = 2_000  # training images of what says nothing of its size


class Job(NamedTuple):
    """One job of a rule, or one run of a job that has many, at COCO's size.

    gpu, cpu: hours (of a GPU; of a core).  memory: GB.  storage: MB that stay.

    power: by which of the training images' number the hours grow.
    """

    gpu: float
    cpu: float
    memory: float
    storage: float
    source: str
    power: int = 1


SCALE = "benchmarks/scale.py at 6,000 images, scaled"
EMBEDDED = "the embedded run, times the number of images"
FLOPS = "operations at 100 TFLOP/s"
JOBS = {
    "data": Job(0, 0.6, 4, 200, "every image decoded once, 50 a second and core"),
    "encode_shard": Job(0.04, 0.4, 8, 0, "28,000 images at 300 a second"),
    "encode": Job(0.01, 0.1, 8, 80, "5,000 images or 25,000 texts at 300 a second"),
    "encode_keeping_tokens": Job(0.2, 2.0, 8, 50_000, "100,000 images at 300 a second; 257 tokens of 1,024 float16"),
    "gather": Job(0, 0.02, 4, 350, "copies 350 MB"),
    "basis": Job(0.01, 0.1, 8, 5, "2,000 images at 300 a second"),
    "tokens": Job(0.15, 0.8, 16, 10_000, "100,000 images at 300 a second; 197 tokens of 256 float16"),
    "transport": Job(0, 2.0, 6, 700, SCALE, 2),
    "maps": Job(0, 0.02, 4, 5, SCALE),
    "fit": Job(0, 0.05, 8, 5, EMBEDDED),
    "retrieval": Job(0, 0.001, 2, 1, SCALE, 0),
    "classification": Job(0, 0.02, 16, 2, "140,000 images among 1,000 classes", 0),
    "joint_classification": Job(0.15, 1, 16, 2, "140,000 images at 300 a second", 0),
    "linear_probe": Job(0, 0.5, 32, 2, "1,300,000 images of 1,024 features: one matrix of theirs", 0),
    "classification_tables": Job(0, 4, 32, 50, "1,000 bootstrap samples of 140,000 images a run", 0),
    "fuse": Job(0.5, 1.0, 16, 30, FLOPS),
    "joint": Job(3.5, 28, 48, 800, FLOPS),
    "towers": Job(3.5, 28, 48, 800, FLOPS),
    "joint_bridge": Job(0.3, 2, 16, 600, "all images and captions at 300 a second"),
    "joint_retrieval": Job(0.03, 0.2, 8, 1, "5,000 images and 25,000 texts at 300 a second"),
    "joint_vqa": Job(3, 24, 32, 200, FLOPS),
    "train_captioner": Job(0.7, 1, 8, 500, FLOPS),
    "generate_captions": Job(0.1, 0.2, 8, 1, "5,000 captions, 15 a second", 0),
    "score_captions": Job(0, 0.02, 4, 2, "the embedded run, 5,000 images", 0),
    "train_image_decoder": Job(3, 24, 32, 600, FLOPS),
    "generate_images": Job(0.3, 0.4, 8, 500, "5,000 pictures, 5 a second", 0),
    "score_images": Job(0.02, 0.1, 8, 1, "15,000 pictures at 300 a second", 0),
    "identifiability": Job(0, 0.08, 8, 1, EMBEDDED),
}
SMALL = Job(0, 0.01, 4, 1, "not listed: tables, figures and other small jobs", 0)


def counted(text: str) -> Counter:
    """Jobs by (rule, data set) of what `snakemake -n` has printed; data set "" where a rule has none."""
    counts: Counter = Counter()
    for block in re.split(r"\n(?=(?:local)?rule )", text):
        rule = re.match(r"(?:local)?rule (\w+):", block)
        if rule:
            dataset = re.search(r"^    wildcards: .*?\bdataset=([\w-]+)", block, re.MULTILINE)
            counts[rule[1], dataset[1] if dataset else ""] += 1
    return counts


def images(spec: Mapping[str, Any]) -> int:
    """The training images of a data set's config entry."""
    return (spec.get("sizes") or {}).get("train") or OFFICIAL.get(spec["kind"], OTHER)


def lines(
    jobs: Mapping[tuple[str, str], int], datasets: Mapping[str, Mapping[str, Any]],
    runs: Mapping[tuple[str, str], int] | None = None,
) -> list[str]:  # fmt: skip
    """A line a rule: jobs, GPU hours, core hours, the memory of one, what stays on disk; their sum, and the sources.

    runs: how many those of a (rule, data set) have together, where a job has many.
    """
    rules: dict[str, list[float]] = {}
    for (rule, dataset), count in jobs.items():
        each = JOBS.get(rule, SMALL)
        size = images(datasets[dataset]) / COCO if dataset in datasets else 1.0
        row = rules.setdefault(rule, [0, 0.0, 0.0, 0.0])
        row[0] += count
        count = (runs or {}).get((rule, dataset), count)
        row[1] += count * each.gpu * size**each.power
        row[2] += count * each.cpu * size**each.power
        row[3] += count * each.storage * (size if each.power else 1) / 1024
    text = [f"{'rule':20}{'jobs':>7}{'GPU h':>9}{'core h':>9}{'GB each':>9}{'GB kept':>9}  by"]
    for rule, (jobs_of, gpu, cpu, kept) in sorted(rules.items(), key=lambda item: -item[1][1] - item[1][2] / 16):
        each = JOBS.get(rule, SMALL)
        text.append(f"{rule:20}{jobs_of:7,}{gpu:9,.1f}{cpu:9,.1f}{each.memory:9.0f}{kept:9,.1f}  {each.source}")
    total = [sum(row[k] for row in rules.values()) for k in range(4)]
    text.append(f"{'all':20}{total[0]:7,}{total[1]:9,.1f}{total[2]:9,.1f}{'':9}{total[3]:9,.1f}")
    return text


@stage("Estimate jobs, hours, memory and storage of a config before it runs.")
def plan(configfile: ConfigFiles = (), root: Root = Path()) -> None:
    """The plan command, which no rule runs: what the config files, over config.yaml, will ask for."""
    from ngw.config import Config, read
    from ngw.config.batches import Batches
    from ngw.tools.status import dry_run, merged

    values = read(root / "config.yaml")
    for path in configfile:
        values = merged(values, read(path))
    jobs = counted(dry_run(configfile, root, "--forceall"))
    counts = Batches(Config(values)).counts()
    runs = {(stage.replace("-", "_"), dataset): count for (stage, dataset), count in counts.items()}
    print("\n".join(lines(jobs, values["datasets"], runs)))
    print("Orders of magnitude at these constants (ngw/tools/plan.py), not measurements.")
