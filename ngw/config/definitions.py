"""The definitions of the config (data sets, encoders, methods) and its selection of runs, for the tables' sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ngw import encoders, methods
from ngw.config.names import derived_spec, with_name
from ngw.features.clouds import ALL, NONE, SHARED


class Definitions:
    """The sections `datasets`, `encoders`, `methods` and `run`; methods are built on first access."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.datasets, self.encoders, self.methods = values["datasets"], values["encoders"], values["methods"]
        self.run = values["run"]
        self.unpaired = self.run.get("unpaired", [SHARED])
        self.foreign = self.run.get("foreign", {})  # data set -> the data set of its unpaired captions
        self._built: dict[str, methods.Method] = {}

    def method_spec(self, name: str) -> dict[str, Any]:
        """A method's kind and hyperparameters; `base~option=value~...` derives them from a defined method."""
        return derived_spec("methods", "method", self.methods, name)

    def method(self, name: str) -> methods.Method:
        """The unfitted method, built once."""
        if name not in self._built:
            self._built[name] = with_name(f"methods.{name}", methods.build, self.method_spec(name))
        return self._built[name]

    def budgets(self, name: str) -> list[str]:
        """The pair budgets at which a method runs: only 0, only all, or every budget with enough pairs."""
        method, budgets = self.method(name), [str(budget) for budget in self.run["pairs"]]
        if method.supervision == "none":
            return ["0"]
        if method.supervision == "all":
            return [ALL]
        return [budget for budget in budgets if budget == ALL or int(budget) >= method.min_pairs]

    def budget(self, name: str, pairs: int | str) -> str:
        """A method's budget in a table of one budget: the table's, or the only one that the method's kind has."""
        return {"none": "0", "all": ALL}.get(self.method(name).supervision, str(pairs))

    def settings(self, name: str, pairs: str, wanted: list[str]) -> list[str]:
        """The settings of unpaired rows in which a method runs, among the wanted; `none` if it sees no such rows."""
        return [NONE] if pairs == ALL or self.method(name).raw else wanted

    def at(self, name: str, table: Mapping[str, Any]) -> dict[str, list[str]]:
        """{budget: [setting]} of a method's runs in a table of one budget and one setting."""
        pairs = self.budget(name, table["pairs"])
        return {pairs: self.settings(name, pairs, [table["unpaired"]])}

    def image_text_pairs(self) -> list[list[str]]:
        """The pairs of a vision and a text encoder."""
        wanted = ["vision", "text"]
        return [
            pair
            for pair in self.run["encoder_pairs"]
            if [encoders.build(self.encoders[name]).modality for name in pair] == wanted
        ]
