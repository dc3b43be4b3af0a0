"""What of a config's runs is done and what is left, by table: from the records on disk, without Snakemake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ngw.config import FUSION, RUN, Config, cells, read

SCHEMA = Path("workflow/schemas/config.schema.yaml")  # from the project's root


def merged(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """One config over another, as Snakemake lays its config files: mappings key by key, anything else as a whole."""
    found = dict(base)
    for key, value in other.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if both else value
    return found


def wanted(config: Config) -> dict[str, list[str]]:
    """{table: the record of each of its runs}, relative to the project's root."""
    generation, kept = config.generation.cells(), config.identifiability_grid()
    found = {
        "retrieval": [f"{RUN}/metrics/retrieval.json".format(**c) for c in cells(config.grid())],
        "identifiability": [f"{RUN}/metrics/identifiability.json".format(**c) for c in cells(kept)],
        "ablations": [f"{RUN}/metrics/retrieval.json".format(**c) for c in cells(config.ablation_grid())],
        "vqa": [f"{FUSION}/metrics/vqa.json".format(**c) for c in config.vqa.cells()],
        "captions": [f"{RUN}/metrics/captioning.json".format(**c) for c in generation],
        "images": [f"{RUN}/metrics/imaging.json".format(**c) for c in generation if config.generation.images],
    }  # fmt: skip
    return {table: records for table, records in found.items() if records}


def lines(records: Mapping[str, Iterable[str]], root: Path) -> list[str]:
    """A line a table: runs that are done, of how many, and the first that is left."""
    text = [f"{'table':16} {'done':>6} {'of':>6}  next"]
    for table, paths in records.items():
        left = [path for path in paths if not (root / path).is_file()]
        total = len(list(paths))
        text.append(f"{table:16} {total - len(left):6} {total:6}  {left[0] if left else '-'}".rstrip())
    return text


def status(configfile: Sequence[Path], root: Path) -> None:
    """The status command, which no rule runs: config.yaml, other config files over it, and what is done of them."""
    values = read(root / "config.yaml")
    for path in configfile:
        values = merged(values, read(path))
    config = Config(values, root / SCHEMA)
    print("\n".join(lines(wanted(config), root)))
    page = root / "results" / "index.html"
    print(f"{page} is {'there' if page.is_file() else 'not there yet'}")
