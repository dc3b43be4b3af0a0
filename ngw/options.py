"""Options of components as dataclass fields: a default and its bounds are on one line, and one check reads them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

from ngw.errors import InputError

# JSON Schema's names for the types of fields and their bounds.
TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string", "None": "null"}
KEYWORDS = {
    "above": "exclusiveMinimum",
    "least": "minimum",
    "below": "exclusiveMaximum",
    "most": "maximum",
    "among": "enum",
}


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The values of an option: finite numbers between bounds, or one of some texts."""

    above: float | None = None  # exclusive
    least: float | None = None
    below: float | None = None  # exclusive
    most: float | None = None
    among: Sequence[str] = ()

    def allow(self, value: Any) -> bool:
        """Whether a value lies within; NaN and infinity never do."""
        if self.among:
            return value in self.among
        number: Any = value if isinstance(value, Real) else math.nan
        return (
            -math.inf < number < math.inf
            and (self.above is None or number > self.above)
            and (self.least is None or number >= self.least)
            and (self.below is None or number < self.below)
            and (self.most is None or number <= self.most)
        )

    def __str__(self) -> str:
        if self.among:
            return " or ".join(filter(None, [", ".join(self.among[:-1]), self.among[-1]]))
        if self.above is None and self.least is None:
            return "a finite number"
        low = f"({self.above}" if self.least is None else f"[{self.least}"
        high = f"{self.below})" if self.most is None else f"{self.most}]"
        if self.below is not None or self.most is not None:
            return f"a share in {low}, {high}"
        return f"more than {self.above}" if self.least is None else f"{self.least} or more"


def option(default: Any, kw_only: bool = False, **bounds: Any) -> Any:
    """A dataclass field with this default; bounds: see `Bounds`.  A field whose type includes None allows null."""
    return dataclasses.field(default=default, kw_only=kw_only, metadata={"bounds": Bounds(**bounds)})


def check(options: Any, section: str | None = None) -> None:
    """Raise for the first option outside its bounds.

    section: the options' section, for an `InputError`; without it a `ValueError`, to which the caller adds the name.
    """
    for field in dataclasses.fields(options):
        value, bounds = getattr(options, field.name), field.metadata.get("bounds")
        if bounds is None or (value is None and "None" in str(field.type)) or bounds.allow(value):
            continue
        if section is not None:
            raise InputError(f"{section}: {field.name}: expected {bounds}, found {value!r}; mend it.")
        words = "positive" if bounds == Bounds(above=0) else str(bounds)
        null = ", or null" if "None" in str(field.type) else ""
        raise ValueError(f"{field.name} is {words}{null}, not {value!r}")


def schema(component: type) -> dict[str, Any]:
    """The JSON Schema of a component's options."""
    properties = {}
    for field in dataclasses.fields(component):
        types, bounds = [TYPES[part] for part in field.type.split(" | ")], field.metadata.get("bounds", Bounds())
        limits = {KEYWORDS[name]: limit for name, limit in vars(bounds).items() if limit not in (None, ())}
        properties[field.name] = {"type": types if len(types) > 1 else types[0], **limits}
    return {"type": "object", "additionalProperties": False, "properties": properties}
