"""A training that is killed and resumed equals an unbroken one, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch


def ends_as_unbroken(fit: Callable, owner: Any, name: str, call: int, folder: Path, monkeypatch) -> None:
    """fit([checkpoint, identity]): (network, how it went). owner's `name` is called in it, and dies at that call."""
    whole, _ = fit()
    real, calls = getattr(owner, name), []

    def dying(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(owner, name, dying)
    with pytest.raises(KeyboardInterrupt):
        fit(checkpoint=folder / "checkpoint", identity="run")
    monkeypatch.undo()
    assert list(folder.iterdir())
    again, _ = fit(checkpoint=folder / "checkpoint", identity="run")
    assert not list(folder.iterdir())
    for (part, ours), theirs in zip(whole.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), part
