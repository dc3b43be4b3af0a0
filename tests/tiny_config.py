"""The tiny config with a change in one place, and the error of a config that is refused."""

from __future__ import annotations

import copy
import functools
from pathlib import Path

import pytest

from ngw import config
from ngw.config import Config
from ngw.errors import InputError

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"


tiny_file = functools.cache(config.read)


def tiny(*path, value=None):
    """The tiny config, with another value in one place, whose mappings are made where they aren't."""
    place = values = copy.deepcopy(tiny_file(ROOT / "tests" / "config.yaml"))
    for key in path[:-1]:
        place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
    if path:
        place[path[-1]] = value
    return values


def refused(values, *words):
    """The one sentence with which a config is refused; it must hold all words."""
    with pytest.raises(InputError) as caught:
        Config(values, SCHEMA)
    message = str(caught.value)
    assert message.startswith("config: ")
    assert "\n" not in message
    for word in words:
        assert word in message
    return message
