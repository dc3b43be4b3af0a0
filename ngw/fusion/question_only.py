"""Control: answers from the questions alone, through the same trunk."""

from __future__ import annotations

from ngw.fusion.base import Fusion


class QuestionOnly(Fusion):
    """h = FFN(mean LayerNorm(z_B)); the other side's tokens are not read."""

    sides = ("b",)
