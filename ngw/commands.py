"""The command line's stages and their options: one stage, one rule of the workflow."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from ngw import __version__
from ngw._arguments import (
    FILES,
    ablations,
    count,
    dims,
    fusions,
    grid,
    judges,
    methods,
    options,
    pairs,
    share,
    spec,
    whose,
)
from ngw.commands_joint import joint

EPILOG = "Exit status: 0 done; 2 bad input or usage, told in one sentence; 1 anything else, with its traceback."


RUNS = "folders of runs, which their records and scores go to"


def parser() -> argparse.ArgumentParser:
    """Every stage with its options."""
    top = argparse.ArgumentParser(prog="ngw", description="Neural Geometry Warping, stage by stage.", epilog=EPILOG)
    top.add_argument("--version", action="version", version=__version__)
    stages = top.add_subparsers(dest="stage", required=True, metavar="stage")

    def stage(name: str, about: str, *inputs: str) -> argparse.ArgumentParser:
        p = stages.add_parser(name, help=about, description=about)
        for flag in inputs:
            p.add_argument(f"--{flag}", type=Path, required=True, help=FILES[flag])
        return p

    p = stage("data", "Make or read a data set, check it, write its tables.")
    p.add_argument("--spec", type=spec, required=True, help="the data set's config entry, as JSON")
    p.add_argument("--output", type=Path, required=True, help="folder for the tables")

    _encoding(stage)
    for name, about, inputs in (
        ("fit", "Fit a method that needs no plan.", ("vision", "text", "output")),
        ("transport", "Solve entropic optimal transport between the train clouds.", ("vision", "text", "output")),
        ("maps", "Fit both maps to a plan's barycentric targets.", ("vision", "text", "plan", "output")),
    ):
        p = stage(name, about, *inputs)
        p.add_argument("--method", required=True, help="the method's name, for the record")
        p.add_argument("--spec", type=spec, required=True, help="the method's config entry, as JSON")
        p.add_argument("--pairs", required=True, type=pairs, help="the budget of known pairs: a number, or all")
        p.add_argument("--seed", required=True, type=int)
        p.add_argument("--captions", type=count, default=1, help="captions an image in the training cloud")
        if name == "fit":
            p.add_argument("--teacher", type=Path, help="file of the joint-bridge stage: a joint model to learn from")

    stage("retrieval", "Rank a test split both ways.", "model", "vision", "text", "predictions", "record")

    files = ("model", "vision", "text", "train-vision", "train-text", "record")
    p = stage("identifiability", "Measure what both maps keep on a test split, beside a shuffled null.", *files)
    p.add_argument("--captions", type=count, default=1, help="captions an image in the training cloud")

    about = "How alike two spaces are before alignment, calibrated."
    stage("similarity", about, "vision", "text", "train-vision", "train-text", "record")

    _fusion(stage)
    _generation(stage)
    joint(stage)
    _report(stage)
    _tools(stage)
    return top


def _encoding(stage: Callable[..., argparse.ArgumentParser]) -> None:
    """The stages of features."""
    p = stage("encode", "Run a frozen encoder over one split.", "tables", "output")
    p.add_argument("--dataset", required=True, help="the data set's name")
    p.add_argument("--split", required=True, choices=["train", "val", "test"])
    p.add_argument("--encoder", required=True, help="the encoder's name")
    p.add_argument("--spec", type=spec, required=True, help="the encoder's config entry, as JSON")
    p.add_argument("--shard", help="a part of the split alone, 2/8 the second of eight")

    p = stage("gather", "Put the shards of an encoding together.", "output")
    p.add_argument("--shards", type=Path, nargs="+", required=True, help="files of the encode stage, in their order")


def _fusion(stage: Callable[..., argparse.ArgumentParser]) -> None:
    """The stages of fusion and visual question answering."""
    for name, about in (
        ("basis", "Principal axes in which an encoder's tokens are kept."),
        ("tokens", "Run a frozen encoder over one split's images or questions, token by token."),
    ):
        p = stage(name, about, "tables", "output")
        p.add_argument("--dataset", required=True, help="the data set's name")
        p.add_argument("--encoder", required=True, help="the encoder's name")
        p.add_argument("--spec", type=spec, required=True, help="the encoder's config entry, as JSON")
        if name == "basis":
            p.add_argument("--dims", type=dims, required=True, help="dimensions kept; null: all, as they are")
        else:
            p.add_argument("--split", required=True, choices=["train", "val", "test"])
            p.add_argument("--basis", type=Path, required=True, help="file of the basis stage")

    p = stage("labels", "Vocabulary and soft targets of all questions.", "tables", "output")
    p.add_argument("--aligned-on", type=Path, help="tables that the aligners are fitted on, where these are others")
    p.add_argument("--min-count", type=count, default=9, help="occurrences that make an answer one of the vocabulary")
    p.add_argument("--splits", nargs="+", default=["train"], help="splits whose answers are counted")

    p = stage("fuse", "Train a fusion network on questions, and answer other splits' questions.", "labels", "output")
    p.add_argument("--images", type=Path, nargs="+", required=True, help="token files: train, then splits to answer")
    p.add_argument("--questions", type=Path, nargs="+", required=True, help="token files, in the order of --images")
    p.add_argument("--model", type=Path, help="the aligner: file of a fitted method")
    p.add_argument("--training", type=options, default={}, help="options of the training, as JSON")
    p.add_argument("--share", required=True, type=share, help="per cent of the training questions, or all")
    whose(p)

    p = stage("prior", "Answer with the most frequent answer: a control.", "tables", "labels", "output")
    for name in ("dataset", "vision", "text"):
        p.add_argument(f"--{name}", required=True, help=f"the name for the record: {name}")
    p.add_argument("--splits", nargs="+", required=True, help="splits to answer")
    whose(p)

    stage("vqa", "Score a results file.", "tables", "training", "results", "predictions", "record")


def _generation(stage: Callable[..., argparse.ArgumentParser]) -> None:
    """The stages of generation."""
    p = stage("captioner", "Train a caption decoder on captions alone.", "tables", "text", "output")
    p.add_argument("--options", type=options, default={}, help="the decoder's options, as JSON")
    p.add_argument("--seed", required=True, type=int)

    files = ("captioner", "vision", "text", "train-text", "tables", "captions", "nearest", "record")
    p = stage("caption", "Caption test images through a method's maps.", *files)
    p.add_argument("--model", type=Path, help="file of a fitted method; without it, the captions' own latents")
    p.add_argument("--bridge", type=Path, help="file of the joint-bridge stage, instead of a method's")
    p.add_argument("--count", type=count, help="test images drawn at random; without it all")

    stage("paraphrases", "Narrow METEOR's paraphrases to a data set's words.", "tables", "output")

    p = stage("captioning", "Score what runs have written.", "tables")
    p.add_argument("--runs", type=Path, nargs="+", required=True, help=RUNS)
    p.add_argument("--count", type=count, help="test images that were drawn; without it all")
    p.add_argument("--paraphrases", type=Path, help="file of the paraphrases stage; without it METEOR reads them all")

    p = stage("imager", "Make an image decoder of images alone.", "tables", "vision", "output")
    p.add_argument("--options", type=options, default={}, help="the decoder's options, as JSON")
    p.add_argument("--seed", required=True, type=int)

    p = stage("image", "Draw test captions through a method's maps.", "imager", "vision", "text", "train-vision")
    p.add_argument("--model", type=Path, help="file of a fitted method; without it, the images' own latents")
    p.add_argument("--bridge", type=Path, help="file of the joint-bridge stage, instead of a method's")
    p.add_argument("--count", type=count, required=True, help="test images drawn at random")
    p.add_argument("--images", type=Path, required=True, help="where the pictures go (zip of png)")
    p.add_argument("--nearest", type=Path, required=True, help="where the nearest training images' ids go (json)")
    p.add_argument("--record", type=Path, required=True, help=FILES["record"])

    p = stage("reference", "What the judges see of real test images and captions.", "tables", "vision", "output")
    p.add_argument("--count", type=count, required=True, help="test images drawn at random")
    p.add_argument("--spec", type=spec, required=True, help="the feature network's config entry, as JSON")
    p.add_argument("--scorer", required=True, help="a CLIP: folder, or name@revision on the hub")
    p.add_argument("--options", type=options, default={}, help="the image decoder's options, as JSON")

    p = stage("imaging", "Judge what runs have drawn against real images and captions.", "tables")
    p.add_argument("--runs", type=Path, nargs="+", required=True, help=RUNS)
    p.add_argument("--reference", type=Path, required=True, help="file of the reference stage")
    p.add_argument("--scorer", required=True, help="a CLIP: folder, or name@revision on the hub")
    p.add_argument("--judges", type=judges, required=True, help="names of the judges, as JSON")


def _report(stage: Callable[..., argparse.ArgumentParser]) -> None:
    """The stages that make tables and figures."""
    p = stage("collate", "Collate the runs of a config into tables.", "output")
    p.add_argument("--grid", required=True, type=grid, help="the runs wanted, as JSON: see Config.grid")

    stage("figures", "Draw the figures of a table.", "table", "output")
    stage("efficiency-figures", "Draw quality against compute.", "table", "output")
    stage("stages", "Sum what the jobs of each rule took.", "benchmarks", "output")
    files = ("model", "vision", "text", "tables", "output")
    stage("alignment-figures", "Draw clouds before and after, and examples.", *files)

    p = stage("page", "Write every table and figure as one HTML file.", "output")
    p.add_argument("--tables", type=Path, required=True, help="folder of the tables")
    p.add_argument("--figures", type=Path, required=True, help="folder of the figures")
    p.add_argument("--config", type=options, required=True, help="the config, as JSON")

    p = stage("identifiability-tables", "Collate identifiability records into tables.", "output")
    p.add_argument("--grid", required=True, type=grid, help="the runs wanted, as JSON: see Config.grid")

    stage("identifiability-figures", "Draw the Jacobians' spectra.", "table", "output")
    p = stage("similarity-tables", "The similarity table, beside what alignment reaches.", "table", "output")
    p.add_argument("--records", required=True, type=Path, nargs="+", help="records of the similarity stage")
    p.add_argument("--pairs", required=True, type=pairs, help="the budget whose best R@1 is shown")

    p = stage("ablation-tables", "Collate retrieval records into the ablation table.", "output")
    p.add_argument("--grid", required=True, type=ablations, help="the runs, as JSON: see Config.ablation_grid")
    p.add_argument("--name", default="ablations", help="the files' name, without its ending")

    p = stage("vqa-tables", "Collate VQA records into tables.", "output")
    p.add_argument("--cells", required=True, type=fusions, help="the runs wanted, as JSON: see Vqa.cells")
    p = stage("generation-tables", "Collate caption records into tables.", "output")
    p.add_argument("--cells", required=True, type=methods, help="the runs wanted, as JSON: see Generation.cells")
    p.add_argument("--images", action="store_true", help="there are pictures beside the captions")
    for name, about in (
        ("caption-sheet", "Draw images with what methods say of them."),
        ("image-sheet", "Draw captions with what methods draw of them."),
    ):
        p = stage(name, about, "tables", "vision", "output")
        p.add_argument("--text", required=True, help="the text encoder's name, for the file's")
        p.add_argument("--records", type=Path, nargs="+", required=True, help="records of the runs shown")
    stage("vqa-figures", "Draw accuracy against labels.", "table", "output")
    p = stage("vqa-examples", "Draw a page of questions, answers and attention.", "tables", "vision", "text", "output")
    p.add_argument("--records", type=Path, nargs="+", required=True, help="records of the runs shown")
    p.add_argument("--answers", type=Path, nargs="+", required=True, help="their scored answers, in that order")
    p.add_argument("--network", type=Path, required=True, help="network of the first run, whose attention is shown")
    p.add_argument("--model", type=Path, help="its aligner: file of a fitted method")

    stage("ablation-figures", "Draw the ablations, a panel an option.", "table", "output")


def _tools(stage: Callable[..., argparse.ArgumentParser]) -> None:
    """Commands for people, which no rule runs."""
    p = stage("align", "Align two .npy files of your own, and rank rows that were held out.")
    for name in ("x", "y"):
        p.add_argument(f"--{name}", type=Path, required=True, help="features [n, d], .npy; row k of both is one item")
    p.add_argument("--pairs", type=pairs, default="all", help="how many training rows are known pairs, or all")
    p.add_argument("--test", type=float, default=0.2, help="rows held out: a number, or a share below 1")
    p.add_argument("--methods", nargs="+", default=["warp", "cca", "ridge", "unaligned"], help="kinds, see ngw/methods")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--output", type=Path, help="where the first method's fitted file goes")

    for name, about in (
        ("status", "Tell what of a config's runs is done, what is stale and why, and what is left."),
        ("plan", "Estimate jobs, hours, memory and storage of a config before it runs."),
    ):
        p = stage(name, about)
        p.add_argument("configfile", type=Path, nargs="*", default=[], help="config files over config.yaml")
        p.add_argument("--root", type=Path, default=Path(), help="the project's folder")

    p = stage("provenance", "Tell how a file of the workflow was made, and from what.")
    p.add_argument("file", help="its path as the workflow writes it, such as results/tables/retrieval.csv")
    p.add_argument("--depth", type=count, default=9, help="how many files back; 1: what it was made from")
