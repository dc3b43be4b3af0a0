"""One's own encoder as a Python function: `call: my_package.my_module:encode`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence

import numpy as np

from ngw.encoders.base import Encoder, Encoding
from ngw.errors import InputError


class Python(Encoder):
    """call(items) -> an array [len(items), width]; items are image paths or texts, at most 32 at once.

    The module must be importable where the jobs run: installed, or on PYTHONPATH.  Its file, or the whole package that
    it is in, is what its features depend on; change `version` when anything else does that it computes with.
    """

    token_width, n_tokens = 1, 1  # pooled features alone

    def __init__(
        self,
        call: str = "my_module:encode",
        modality: str = "vision",
        width: int = 768,
        version: str = "1",
        licence: str | None = None,
        training_data: str | None = None,
    ) -> None:
        if modality not in ("vision", "text"):
            raise ValueError(f"modality is vision or text, not {modality!r}")
        if call.count(":") != 1 or not all(call.split(":")):
            raise ValueError(f"call is module:function, not {call!r}")
        self.call, self.modality, self.width = call, modality, width
        self.licence, self.training_data, self.version = licence, training_data, f"{call} {version}"
        self.preprocessing = "its own"

    def sources(self) -> list[str]:
        """The file of the module; all of the package where it is in one."""
        package = self.call.partition(":")[0].partition(".")[0]
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            return []
        return [f"package:{package}" if spec.submodule_search_locations else spec.origin]

    def function(self) -> Callable[[list], np.ndarray]:
        """What `call` names."""
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
        """What the function says of some items."""
        if tokens:
            raise InputError(f"{self.call}: a function gives pooled features alone; take another encoder for fusion.")
        features = np.asarray(self.function()(list(items)))
        if features.shape != (len(items), self.width) or features.dtype.kind != "f":
            raise InputError(
                f"{self.call}: expected floats [{len(items)}, {self.width}], found {list(features.shape)} of "
                f"{features.dtype}; mend the function, or `width`."
            )
        return Encoding(features.astype(np.float32))
