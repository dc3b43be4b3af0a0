"""The cost of finished jobs, from Snakemake's benchmark files, and the predicted cost of other jobs of their rule."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ngw.config import Config
from ngw.config.batches import FILES, PLACE, Batches
from ngw.errors import InputError
from ngw.tools.sizes import OFFICIAL, Size, sizes
from ngw.tools.status import dry_run

REHEARSAL = "rehearsal.json"  # `ngw rehearse` writes it in its folder: networks there are tiny
START = 2.0  # CPU seconds of Python and libraries, at any size
RESIDENT = 0.4  # GB, likewise
SHORT = 2.0  # CPU seconds beyond the start; a shorter job says nothing about the growth of its time
APART = 1.5  # ratio of two sizes above which growth shows
FAR = 12.0  # ratio of two sizes above which one says nothing about the other
MOST_POWER = 2.0
BLOCK = re.compile(r"\n(?=(?:local)?rule )")
SCORING = ("score_captions", "score_images")  # one job for a data set and pair of encoders
BATCHED = {"fuse", *(stage.replace("-", "_") for stage in FILES)}  # rules whose jobs have many runs


class Cost(NamedTuple):
    """One job's seconds, CPU seconds and peak memory in GB (NaN if the job was too short to measure it)."""

    seconds: float
    cpu_seconds: float
    memory: float


class Work(NamedTuple):
    """A job of a config: its rule, its name among the rule's jobs (a method, an encoder, a budget), its data set, its
    number of runs, the data set's images; its cost, if it is done; whether it ran with tiny networks on made
    features."""

    rule: str
    name: str
    dataset: str
    runs: int
    size: Size
    cost: Cost | None = None
    made: bool = False

    @property
    def took(self) -> Cost:
        """The cost of a finished job."""
        assert self.cost is not None
        return self.cost

    def scale(self, split: str) -> float:
        """The images of the job's data set in a split (`all`: in all splits), as a share of COCO's."""
        own, coco = self.size, OFFICIAL["coco"]
        return sum(own) / sum(coco) if split == "all" else getattr(own, split) / getattr(coco, split)


class Wildcards(dict[str, str]):
    """A job's wildcards, by key or by attribute, as in Snakemake."""

    __getattr__ = dict.__getitem__


def read(file: Path) -> Cost:
    """The last run in a benchmark file. A job too short for a sample has no memory, and its seconds as CPU
    seconds."""
    try:
        with open(file, newline="", encoding="utf-8") as lines:
            row = list(csv.DictReader(lines, delimiter="\t"))[-1]
        seconds, cpu, memory = (_number(row[name]) for name in ("s", "cpu_time", "max_rss"))
    except (OSError, UnicodeDecodeError, IndexError, KeyError, ValueError) as error:
        raise InputError(
            f"{file}: expected a benchmark file of Snakemake, with the columns s, cpu_time and max_rss, found "
            f"{type(error).__name__} ({error}); delete it, and run its job again."
        ) from None
    return Cost(seconds, cpu if cpu > 0 else seconds, memory / 1024 if memory > 0 else math.nan)


def _number(text: str) -> float:
    return math.nan if text in ("-", "NA") else float(text)


def works(values: Mapping[str, Any], configfile: Sequence[Path], root: Path) -> list[Work]:
    """The jobs of a config in a project's folder, done or not.  values: its files, merged over config.yaml."""
    text = dry_run([path.resolve() for path in configfile], root, "--forceall")
    batches, images = Batches(Config(values)), sizes(values["datasets"], root)
    made = (root / REHEARSAL).is_file()
    blocks = [block for block in BLOCK.split(text) if _rule(block) and "    benchmark: " in block]  # no mere target
    return [_work(block, batches, images, root, made) for block in blocks]


def _rule(block: str) -> str:
    """The rule of a block of a dry run's text, or an empty text."""
    match = re.match(r"(?:local)?rule (\w+):", block)
    return match[1] if match else ""


def _work(block: str, batches: Batches, images: Mapping[str, Size], root: Path, made: bool) -> Work:
    entries = dict(re.findall(r"^    (benchmark|wildcards): (.*)$", block, re.MULTILINE))
    wildcards = Wildcards(re.findall(r"(\w+)=([^,\s]+)", entries.get("wildcards", "")))
    rule, dataset = _rule(block), wildcards.get("dataset", "")
    file = root / entries["benchmark"]
    cost = read(file) if file.is_file() else None
    size = images.get(dataset) or images[batches.config.run["datasets"][0]]
    return Work(rule, _name(wildcards), dataset, _runs(rule, wildcards, batches), size, cost, made)


def _runs(rule: str, wildcards: Wildcards, batches: Batches) -> int:
    """A job's number of runs."""
    if rule in BATCHED:
        return len(batches.runs(rule.replace("_", "-"), wildcards))
    if rule in SCORING:
        cells = batches.config.generation.cells()
        return sum(all(cell[name] == wildcards[name] for name in PLACE) for cell in cells)
    return 1


def _name(wildcards: Mapping[str, str]) -> str:
    """A job's name among those of its rule; budgets count only as no, some or all pairs."""
    pairs = wildcards.get("pairs") or wildcards.get("part", "").removeprefix("pairs")
    budget = {"0": "no pairs", "all": "all pairs"}.get(pairs, "")
    return " ".join(filter(None, [*(wildcards.get(key, "") for key in ("method", "fusion", "encoder")), budget]))


def alike(work: Work, known: Sequence[Work]) -> list[Work]:
    """The finished jobs of the same rule and name or, if there are none, of the same rule."""
    same = [other for other in known if other.rule == work.rule and other.cost is not None]
    return [other for other in same if other.name == work.name] or same


def telling(work: Work, some: Sequence[Work], split: str) -> list[Work]:
    """The alike jobs that can predict this one: of its size, or of a near size and longer than their start."""
    own = work.scale(split)

    def tells(other: Work) -> bool:
        scale = other.scale(split)
        return scale == own or (own <= FAR * scale <= FAR**2 * own and other.took.cpu_seconds - START >= SHORT)

    return [other for other in some if tells(other)]


def growth(some: Sequence[Work], split: str, power: float) -> float:
    """The power by which alike jobs' CPU seconds grow with the images: the given one, or a measured larger one."""
    small, large = (choose(some, key=lambda work: work.scale(split)) for choose in (min, max))
    ratio = large.scale(split) / small.scale(split) if small.scale(split) else 1.0
    if ratio < APART or len({work.name for work in some}) > 1:
        return power
    times = [_mean([_beyond(work) for work in some if work.size == end.size]) for end in (small, large)]
    if min(times) < SHORT:
        return power
    return max(power, min(MOST_POWER, math.log(times[1] / times[0]) / math.log(ratio)))


def _beyond(work: Work) -> float:
    """CPU seconds per run of a job, beyond its start."""
    return max(work.took.cpu_seconds - START, 0.0) / work.runs


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def predict(work: Work, some: Sequence[Work], split: str, power: float) -> Cost | None:
    """A job's cost, predicted from alike finished jobs; None if their sizes are too different.

    Seconds beyond the start grow with the runs and with a power of the images; memory beyond Python's grows with the
    images.
    """
    power, some = growth(some, split, power) if some else power, telling(work, some, split)
    if not some:
        return None

    def weight(each: Work) -> float:
        return each.runs * each.scale(split) ** power

    whole = sum(map(weight, some)) or 1.0
    costs = [each.took for each in some]
    seconds = sum(max(cost.seconds - START, 0.0) for cost in costs) / whole * weight(work)
    cpu = sum(max(cost.cpu_seconds - START, 0.0) for cost in costs) / whole * weight(work)
    return Cost(START + seconds, START + cpu, _memory(work, some, split))


def _memory(work: Work, some: Sequence[Work], split: str) -> float:
    """The peak in GB: on a line through the smallest and the largest size's peaks (or Python's own and one size's)."""
    peaks: dict[float, float] = {0.0: RESIDENT}
    for each in some:
        if not math.isnan(each.took.memory):
            scale = each.scale(split)
            peaks[scale] = max(peaks.get(scale, 0.0), each.took.memory)
    if len(peaks) < 2:
        return math.nan
    if len(peaks) > 2:
        del peaks[0.0]
    (low, first), (high, last) = min(peaks.items()), max(peaks.items())
    slope = max(0.0, (last - first) / (high - low))
    return max(first, last + slope * (work.scale(split) - high))
