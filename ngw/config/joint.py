"""The config of methods that read raw items: joint training, weight averaging, their students. No torch."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from ngw.config.definitions import Definitions
from ngw.config.names import known
from ngw.errors import InputError

MERGING = ("weight", "align")  # options of weight averaging on which its towers don't depend


class RawItems:
    """The selected methods that read raw items, not features: they have stages of their own."""

    def __init__(self, definitions: Definitions, selected: Sequence[str], of_features: Sequence[str]) -> None:
        """selected: the methods of all tables.  of_features: the methods whose maps between features are needed."""
        self.definitions, self.selected, self.of_features = definitions, selected, of_features

    def names(self) -> list[str]:
        """The methods of the tables, and the teachers of others."""
        return self._names

    @functools.cached_property  # rules need them for each job
    def _names(self) -> list[str]:
        teachers = [name for name in map(self.teacher, self.selected) if name is not None]
        return [name for name in dict.fromkeys([*self.selected, *teachers]) if self._is_raw(name)]

    def _is_raw(self, name: str) -> bool:
        return self.definitions.method(name).raw

    def teacher(self, name: str) -> str | None:
        """The jointly trained model from which a method learns."""
        return self.definitions.method(name).teacher

    def averaged(self) -> list[str]:
        """The methods that average weights."""
        return [name for name in self.names() if self.definitions.method_spec(name)["kind"] == "weight-averaging"]

    def towers(self, name: str) -> str:
        """The first method with the same towers: only the merging differs."""

        def trained(name: str) -> dict[str, Any]:
            return {option: v for option, v in self.definitions.method(name).params().items() if option not in MERGING}

        return next(other for other in self.averaged() if trained(other) == trained(name))

    def check(self) -> None:
        """No table of maps has them, and every teacher is one of them."""
        for name in self.of_features:
            if self._is_raw(name):
                raise InputError(
                    f"config: method {name!r} reads raw items: expected no table of maps, found it in "
                    "tables.identifiability or as an aligner; take it out there."
                )
        for name in dict.fromkeys([*self.definitions.methods, *self.selected]):
            taught = self.teacher(name)
            if taught is None:
                continue
            known(f"methods.{name}.teacher", "method", taught.split("~")[0], self.definitions.methods)
            if not self._is_raw(taught):
                raise InputError(
                    f"config: methods.{name}.teacher: expected a jointly trained model, found {taught!r}, which learns "
                    "from features; name a method of kind joint."
                )
