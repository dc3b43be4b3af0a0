"""Control: the most frequent answer, of all questions or of each question type. Nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ngw.fusion.base import Row


@dataclass(eq=False)
class Prior(Row):
    """The most frequent training answer, to every question or to those of a type."""

    role = "control"
    sides: ClassVar[tuple[str, ...]] = ()

    by_type: bool = False  # among questions of the same question_type only
