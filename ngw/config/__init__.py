"""The config: three checks (schema, cross references, each class's own), then the answers that rules need. No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import yaml

from ngw import data, encoders, methods
from ngw.config import selection
from ngw.config.names import FUSION, RUN, Once, known, tidy, with_name
from ngw.config.sections import Sections, cells
from ngw.errors import InputError
from ngw.options import schema as of_options
from ngw.project import SCHEMA, placed
from ngw.schema import check_plain, check_schema
from ngw.tasks import CEILING
from ngw.tasks.captions.options import CaptionerOptions
from ngw.tasks.images.options import ImagerOptions
from ngw.tasks.vqa.options import TrainingOptions

__all__ = ["FUSION", "RUN", "Config", "cells", "read"]

# The options of classes: the schema refers to them, and their classes define defaults and bounds.
OPTIONS = {"captioner": CaptionerOptions, "imager": ImagerOptions, "training": TrainingOptions}


def read(path: str | os.PathLike) -> dict[str, Any]:
    """A YAML file as a dictionary; a duplicate key of a mapping is an `InputError`."""
    try:
        with open(path, encoding="utf-8") as file:
            value = yaml.load(file, Loader=Once)
    except FileNotFoundError:
        raise InputError(f"{path}: no such config file; check the path.") from None
    except OSError as error:
        raise InputError(f"{path}: expected a config file, found {error.strerror}; check the path.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date in month 13, not UTF-8
        raise InputError(f"{path}: expected YAML, found {' '.join(str(error).split())}; mend the file.") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a mapping, found {type(value).__name__}; mend the file.")
    return value


class Config(Sections):
    """A checked config. Building one raises an `InputError` for the first flaw."""

    def __init__(self, values: Mapping[str, Any], schema: str | os.PathLike = SCHEMA) -> None:
        check_plain("config", values)
        rules = read(schema)
        rules["$defs"] |= {name: of_options(each) for name, each in OPTIONS.items()}
        check_schema(values, rules)
        super().__init__(tidy(values))
        self._scorers = {name: _placed(scorer) for name, scorer in self._scorers.items()}
        self._check_names()
        _ = self.vqa, self.generation  # they check themselves when built
        self._check_components()

    def _check_names(self) -> None:
        """Every selected name is defined, and every encoder is on its own side."""
        if CEILING in self.methods:
            raise InputError(f"config: methods: {CEILING!r} is the name of the decoders' ceiling; take another.")
        for name in self.run["datasets"]:
            known("run.datasets", "data set", name, self.datasets)
        for pair in self.run["encoder_pairs"]:
            for name in pair:
                known("run.encoder_pairs", "encoder", name, self.encoders)
            self._check_pair(pair)
        for table in ("retrieval", "classification", "identifiability", "generation"):
            for name in self.tables.get(table, {"methods": []})["methods"]:
                known(f"tables.{table}.methods", "method", name.split("~")[0], self.methods)
        for name in [name for panel in self.panels() for name in panel["methods"]]:
            known("tables.ablations.vary", "method", name.split("~")[0], self.methods)

    def _check_pair(self, pair: list[str]) -> None:
        """A pair of encoders is [vision, text], or two encoders of one modality."""
        modalities = [with_name(f"encoders.{name}", encoders.build, self.encoders[name]).modality for name in pair]
        if modalities[0] == modalities[1] and pair[0] != pair[1]:
            return
        for name, modality, wanted in zip(pair, modalities, ("vision", "text"), strict=True):
            if modality != wanted:
                raise InputError(
                    f"config: run.encoder_pairs: expected [vision, text], or two encoders of one modality, found "
                    f"{name!r}, a {modality} encoder, on the {wanted} side; exchange the two, or name another."
                )

    def _check_components(self) -> None:
        """Every kind exists and accepts its options; every selection exists."""
        for name, spec in self.datasets.items():
            with_name(f"datasets.{name}", data.check, spec)
        for name, spec in self.encoders.items():
            with_name(f"encoders.{name}", encoders.build, spec)
        for name in dict.fromkeys([*self.methods, *self.selected()]):
            self.method(name)
        self.raw.check()
        for name, scorer in self.generation.scorers.items():
            with_name(f"scorers.{name}", methods.build, {"kind": "joint", **scorer.get("training", {})})
        selection.check(self)


def _placed(scorer: Mapping[str, Any]) -> Mapping[str, Any]:
    """A scorer's entry; a scorer's folder in the project is found from other working directories too."""
    return {**scorer, "model": placed(scorer["model"])} if "model" in scorer else scorer
