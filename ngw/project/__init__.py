"""The place of the workflow: beside this package in a clone, inside it in a wheel (setup.py)."""

from __future__ import annotations

from pathlib import Path

_INSIDE = Path(__file__).parent
# The folder of workflow/, rules/, envs/, profiles/, config.yaml and constraints.txt.
ROOT = _INSIDE if (_INSIDE / "workflow").is_dir() else _INSIDE.parents[1]
SNAKEFILE = ROOT / "workflow/Snakefile"
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"


def placed(path: str) -> str:
    """A path of config.yaml: below the project's folder if it exists only there, otherwise unchanged."""
    return str(ROOT / path) if not Path(path).exists() and (ROOT / path).exists() else path
