"""Control: the most frequent answer, of all questions or of each question type. Nothing is trained."""

from __future__ import annotations

from typing import ClassVar

from ngw.fusion.base import Fusion


class Prior(Fusion):
    """by_type: the most frequent training answer to questions that begin as this one does (its question_type)."""

    role = "control"
    sides: ClassVar[tuple[str, ...]] = ()

    def __init__(self, by_type: bool = False) -> None:
        self.by_type = by_type
