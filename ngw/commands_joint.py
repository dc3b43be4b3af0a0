"""The command line's stages of what reads raw items (joint training, weight averaging), and their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from ngw._arguments import count, options, pairs, share, spec, whose

CLIP = "a CLIP: folder, or name@revision on the hub"


def joint(stage: Callable[..., argparse.ArgumentParser]) -> None:
    """The stages of joint training and weight averaging."""
    p = stage("joint", "Train a CLIP from scratch on raw pixels and words.", "tables", "output")
    p.add_argument("--pairs", required=True, type=pairs, help="the budget of known pairs: a number, or all")
    _training(p)

    _training(stage("towers", "Train two towers, each on its own modality alone.", "tables", "output"))

    p = stage("merge", "Merge two towers' trunks by the mean of their weights.", "output")
    p.add_argument("--towers", type=Path, required=True, help="folder of the towers stage")
    p.add_argument("--spec", type=spec, required=True, help="the method's config entry, as JSON")

    _trained(
        stage("joint-retrieval", "Rank a test split by a CLIP.", "tables", "vision", "text", "predictions", "record")
    )

    files = ("tables", "vision", "text", "train-vision", "train-text", "output")
    _trained(stage("joint-bridge", "Carry a CLIP's space to the latents that decoders read.", *files))

    p = stage("joint-vqa", "Train on raw images and questions, and answer others.", "tables", "labels", "output")
    for name in ("dataset", "vision", "text"):
        p.add_argument(f"--{name}", required=True, help=f"the name for the record: {name}")
    p.add_argument("--training", type=options, default={}, help="options of the training, as JSON")
    p.add_argument("--share", required=True, type=share, help="per cent of the training questions, or all")
    p.add_argument("--splits", nargs="+", required=True, help="splits to answer")
    whose(p)


def _training(p: argparse.ArgumentParser) -> None:
    """How a CLIP is trained."""
    p.add_argument("--captions", type=count, default=1, help="captions an image that it learns from")
    p.add_argument("--spec", type=spec, required=True, help="the method's config entry, as JSON")
    p.add_argument("--seed", required=True, type=int)


def _trained(p: argparse.ArgumentParser) -> None:
    """A CLIP, and whose run it is."""
    p.add_argument("--folder", required=True, help=CLIP)
    p.add_argument("--spec", type=spec, required=True, help="the method's config entry, as JSON")
    p.add_argument("--method", required=True, help="the method's name, for the record")
    p.add_argument("--pairs", required=True, type=pairs, help="its budget of known pairs, for the record")
    p.add_argument("--seed", required=True, type=int)
