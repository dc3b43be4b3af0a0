"""Control: what the questions alone tell, through the same trunk."""

from __future__ import annotations

from ngw.fusion.base import Fusion


class QuestionOnly(Fusion):
    """h = FFN(mean LayerNorm(z_B)); the other side's tokens are not looked at."""

    sides = ("b",)
