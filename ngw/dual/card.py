"""The model card of a dual encoder: README.md, with the front matter that a hub reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ngw.encoders._cards import NOT_STATED

TAGS = ["image-text-retrieval", "zero-shot-image-classification", "optimal-transport", "frozen-encoders"]
METRICS = (("R@1", "recall_1"), ("R@5", "recall_5"), ("R@10", "recall_10"))


def text(config: Mapping[str, Any]) -> str:
    """The card of a model with this config.json."""
    import yaml

    front = yaml.safe_dump(_front(config), sort_keys=False, allow_unicode=True)
    parts = [f"---\n{front}---\n", _what(config), _encoders(config), _fit(config), _use()]
    return "\n".join(part for part in parts if part)


def _front(config: Mapping[str, Any]) -> dict[str, Any]:
    """The front matter that a hub reads: the licence of both encoders' weights, or both licences."""
    licences = list(dict.fromkeys(config[side]["card"]["licence"] for side in ("vision", "text")))
    one = licences[0].lower() if len(licences) == 1 and licences[0] != NOT_STATED else None
    named = {"license": one} if one else {"license": "other", "license_name": "; ".join(licences)}
    entry = {"library_name": "ngw", "pipeline_tag": "zero-shot-image-classification", "tags": TAGS}
    return {**named, **entry, **({"metrics": ["recall"]} if "metrics" in config["about"] else {})}


def _what(config: Mapping[str, Any]) -> str:
    vision, other = config["vision"]["name"], config["text"]["name"]
    return (
        f"# {vision} and {other}, aligned\n\nA dual encoder of images and texts: two frozen encoders, and between "
        f"them maps that `ngw` {config['ngw']} fitted (method `{config['method']['kind']}`). Rows have "
        f"{config['width']:,} numbers and unit length; their inner product is how well an image and a text fit.\n"
    )


def _encoders(config: Mapping[str, Any]) -> str:
    """A table of both sides."""
    rows = ["| | vision | text |", "| --- | --- | --- |"]
    sides = [config[side] for side in ("vision", "text")]
    rows.append("| encoder | " + " | ".join(_cell(side["card"]["version"]) for side in sides) + " |")
    for name, key in (("licence", "licence"), ("trained on", "training_data"), ("preprocessing", "preprocessing")):
        rows.append(f"| {name} | " + " | ".join(_cell(side["card"][key]) for side in sides) + " |")
    rows.append("| sha256 | " + " | ".join(f"`{side['sha256'][:16]}`" for side in sides) + " |")
    return "## Encoders\n\nTheir weights are not part of this folder.\n\n" + "\n".join(rows) + "\n"


def _cell(value: str) -> str:
    return " ".join(value.split()).replace("|", "\\|")


def _fit(config: Mapping[str, Any]) -> str:
    """The facts about the fit, and its metrics on held-out items."""
    about = dict(config["about"])
    metrics = about.pop("metrics", None)
    if not about and not metrics:
        return "## Fit\n\nNot recorded.\n"
    lines = ["## Fit\n", *(f"- {name.replace('_', ' ')}: {_cell(str(value))}" for name, value in about.items())]
    if metrics:
        lines += ["", "Retrieval among held-out items, unseen by the fit, in per cent:", ""]
        lines += ["| | " + " | ".join(name for name, _ in METRICS) + " |", "| --- |" + " ---: |" * len(METRICS)]
        for way, words in (("i2t", "image to text"), ("t2i", "text to image")):
            cells = (f"{100 * metrics[f'{way}_{key}']:.1f}" for _, key in METRICS)
            lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _use() -> str:
    return (
        '## Use\n\n```python\nimport ngw\n\nmodel = ngw.DualEncoder.load("this folder")\n'
        'model.encode_image(["a.jpg"]) @ model.encode_text(["a dog", "a cat"]).T\n'
        'model.classify(["a.jpg"], ["dog", "cat"], templates=["a photo of a {}."])\n```\n'
    )
