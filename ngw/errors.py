"""Errors that name the remedy: `InputError` for what a user can mend, `did_you_mean` and `nearest` for names."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input, in one sentence: the file, the item, what was expected, what was found, the remedy.

    The command line prints it without a traceback and exits with status 2.
    """


class FullDisk(InputError):
    """A full disk. Logs can be on it too, so the command line also prints the error on the terminal."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that suggests the nearest known name; empty if none is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: the nearest known one, then all of them."""
    known = sorted(known)
    return f"{nearest(name, known)} Known: {', '.join(known) or 'none'}."


def __getattr__(name: str) -> type[InputError]:
    """`NotFittedError`: an `InputError` that is also scikit-learn's error of this name, if scikit-learn is installed.

    The class is created on first access, since scikit-learn takes a second to import.
    """
    if name != "NotFittedError":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    bases: tuple[type, ...] = (InputError,)
    with contextlib.suppress(ImportError):  # without scikit-learn, no caller can catch its error
        from sklearn.exceptions import NotFittedError

        bases += (NotFittedError,)
    made = type(name, bases, {"__module__": __name__, "__doc__": "A method is used before its fit, or not as fitted."})
    return globals().setdefault(name, made)


@contextmanager
def naming(files: str) -> Iterator[None]:
    """Inside this context, an error about arrays also names their files."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{files}: {error}") from None
