"""Where the workflow lies: in a clone beside this package, in a wheel inside of it (setup.py)."""

from __future__ import annotations

from pathlib import Path

_INSIDE = Path(__file__).parent
# The folder of workflow/, rules/, envs/, profiles/, config.yaml and constraints.txt.
ROOT = _INSIDE if (_INSIDE / "workflow").is_dir() else _INSIDE.parents[1]
SNAKEFILE = ROOT / "workflow/Snakefile"
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"


def placed(path: str) -> str:
    """A path of config.yaml: as it is where it leads somewhere, else below the project's folder if it does there."""
    return str(ROOT / path) if not Path(path).exists() and (ROOT / path).exists() else path
