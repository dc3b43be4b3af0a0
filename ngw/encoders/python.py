"""Your own encoder as a Python function: `call: my_package.my_module:encode`."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ngw.encoders.base import Encoder, Encoding
from ngw.errors import InputError
from ngw.options import option


@dataclass(eq=False)
class Python(Encoder):
    """call(items) -> an array [len(items), width]; items are image paths or texts, at most 32 at once.

    The module must be importable where the jobs run: installed, or on PYTHONPATH.  Features depend on its file, or on
    its whole package if it is in one; change `version` when anything else changes that the function uses.
    """

    token_width, n_tokens = 1, 1  # pooled features only

    call: str = "my_module:encode"
    modality: str = option("vision", among=("vision", "text"))
    width: int = 768
    version: str = "1"
    licence: str | None = None
    training_data: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.call.count(":") != 1 or not all(self.call.split(":")):
            raise ValueError(f"call is module:function, not {self.call!r}")
        self.preprocessing = "its own"

    def card(self) -> dict[str, str]:
        """As `Encoder.card`, with the function's name and version."""
        return super().card() | {"version": f"{self.call} {self.version}"}

    def sources(self) -> list[str]:
        """The module's file, or its whole package if it is in one: without an __init__.py, its folders.

        A path below the working folder is relative, so that a copied study finds its results.
        """
        package = self.call.partition(":")[0].partition(".")[0]
        spec = importlib.util.find_spec(package)
        if spec is None:
            return [f"{package}.py"]  # which is missing
        if spec.submodule_search_locations and spec.origin is not None:
            return [f"package:{package}"]
        here = f"{os.getcwd()}{os.sep}"
        return [place.removeprefix(here) for place in spec.submodule_search_locations or [str(spec.origin)]]

    def function(self) -> Callable[[list], np.ndarray]:
        """The function that `call` names."""
        module, name = self.call.split(":")
        try:
            return getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            raise InputError(
                f"{self.call}: expected a module {error.name}, found none; install it, or add its folder to PYTHONPATH."
            ) from None
        except AttributeError:
            raise InputError(f"{self.call}: expected a function {name}, found none in {module}; mend `call`.") from None

    def encode(self, items: Sequence[str], tokens: bool = False) -> Encoding:
        """The function's features of some items."""
        if tokens:
            raise InputError(f"{self.call}: a function gives pooled features only; take another encoder for fusion.")
        features = np.asarray(self.function()(list(items)))
        if features.shape != (len(items), self.width) or features.dtype.kind != "f":
            raise InputError(
                f"{self.call}: expected floats [{len(items)}, {self.width}], found {list(features.shape)} of "
                f"{features.dtype}; mend the function, or `width`."
            )
        return Encoding(features.astype(np.float32))
