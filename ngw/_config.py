"""What the parts of the config share: where runs lie, names that must exist, and entries derived from others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import yaml

from ngw.errors import InputError, did_you_mean

# The only places that know where a run lies; the rules use them as patterns, the tables as paths.
RUN = "results/runs/{dataset}/{vision}__{text}/{method}/pairs{pairs}/seed{seed}"
CEILING = "true-latents"  # the control of generation that reads the target's own latents, as its runs are called
FUSION = "results/fusions/{dataset}/{vision}__{text}/{fusion}/pairs{pairs}/labels{labels}/seed{seed}"


def known(where: str, what: str, name: str, names: Mapping[str, Any]) -> None:
    """Raise with the nearest name where a name is not defined."""
    if name not in names:
        raise InputError(f"config: {where}: {what} {name!r} is not defined.{did_you_mean(name, names)}")


def with_name(where: str, check: Callable, spec: Mapping[str, Any]) -> Any:
    """Run a component's own check; its error says which entry of the config it is about."""
    try:
        return check(spec)
    except InputError as error:
        raise InputError(f"config: {where}: {error}") from None


def derived_spec(where: str, what: str, specs: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The entry of a name among a section's; `base~option=value~...` is that of the base with other values."""
    base, *changes = name.split("~")
    known(where, what, base, specs)
    spec = dict(specs[base])
    for change in changes:
        option, sign, value = change.partition("=")
        if not sign:
            raise InputError(f"config: {what} {name!r}: expected option=value after '~', found {change!r}; mend it.")
        spec[option] = yaml.safe_load(value)
    return spec
