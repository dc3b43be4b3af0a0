"""The training clouds of a run from its feature files, and the run's identity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ngw import features
from ngw.errors import InputError, naming
from ngw.features.clouds import Clouds, clouds
from ngw.record import spaces


def train_clouds(
    vision: Path, text: Path, pairs: str, seed: int, captions: int, unpaired: str, foreign: Path | None
) -> tuple[Clouds, dict[str, str]]:
    """Both training clouds, and their identity."""
    a, b = features.read(vision), features.read(text)
    for cloud, modality, path in ((a, "vision", vision), (b, "text", text)):
        if cloud.metadata.get("split") in ("val", "test"):
            raise InputError(
                f"{path}: expected features of a training split, found those of {cloud.metadata['split']!r}; encode "
                "that split again."
            )
        if cloud.metadata["modality"] != modality and not _one_modality(a, b):
            raise InputError(f"{path}: expected {modality} features, found {cloud.metadata['modality']} features.")
    if a.metadata["dataset"] != b.metadata["dataset"]:
        raise InputError(
            f"{text}: expected features of data set {a.metadata['dataset']!r}, like {vision}, found "
            f"{b.metadata['dataset']!r}; encode both from one data set."
        )
    other = None if foreign is None else _foreign(foreign, text, b)
    hashes = {"vision_sha256": a.metadata["sha256"], "text_sha256": b.metadata["sha256"]}
    hashes |= {} if other is None else {"foreign_sha256": other.metadata["sha256"]}
    with naming(f"{vision}, {text}"):
        two = clouds(a, b, pairs, seed, captions, unpaired, None if other is None else other.x)
    return two, spaces(a.metadata, b.metadata) | hashes


def _foreign(path: Path, text: Path, own: features.Features) -> features.Features:
    """Captions of another data set, encoded as these are."""
    other, home = features.read(path, own.metadata["encoder"]), own.metadata["dataset"]
    if other.metadata["dataset"] == home:
        raise InputError(f"{path}: expected another data set than {text}'s, found {home!r}; name another.")
    wanted, found = own.x.shape[1], other.x.shape[1]
    if wanted != found:
        raise InputError(f"{path}: expected features of width {wanted}, like {text}, found {found}; encode both alike.")
    return other


def held_out(vision: Path, text: Path, head: Mapping[str, str]) -> tuple[features.Features, features.Features]:
    """Both sides of the split on which a fitted method is scored; head: its file's metadata."""
    sides = features.read(vision, head["vision"]), features.read(text, head["text"])
    for path, side in zip((vision, text), sides, strict=True):
        dataset, split = side.metadata.get("dataset"), side.metadata.get("split")
        if dataset != head["dataset"] or split == "train":
            raise InputError(
                f"{path}: expected features of a held-out split of {head['dataset']!r}, found those of {dataset!r}, "
                f"{split}; encode that split again."
            )
    return sides


def _one_modality(a: features.Features, b: features.Features) -> bool:
    """Whether both are of one modality, from two encoders."""
    return a.metadata["modality"] == b.metadata["modality"] and a.metadata["encoder"] != b.metadata["encoder"]


def run_identity(who: Mapping[str, str], method: str, pairs: str, unpaired: str, seed: int) -> dict[str, str]:
    """A run's identity, as its files state it."""
    return {**who, "method": method, "pairs": str(pairs), "unpaired": unpaired, "seed": str(seed)}
