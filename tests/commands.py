"""Command lines of the stages, for the tests that run them."""

from __future__ import annotations

import json

WARP = {"kind": "warp", "steps": 5, "dims": 4}


def ngw(stage: str, **options) -> list[str]:
    """A command line; values that aren't text go as JSON, a pair of feature files as --vision and --text."""
    if "pair" in options:
        options["vision"], options["text"] = options.pop("pair")
    words = [stage]
    for name, value in options.items():
        words += [f"--{name}", json.dumps(value) if isinstance(value, (dict, int)) else str(value)]
    return words


def training(stage: str, pair, output, **options) -> list[str]:
    """A command line of fit, transport or maps."""
    return ngw(
        stage, pair=pair, output=output, **{"method": "m", "spec": {"kind": "ridge"}, "pairs": 6, "seed": 0, **options}
    )
