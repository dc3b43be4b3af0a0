"""Control: answers from the images alone, through the same trunk."""

from __future__ import annotations

from ngw.fusion.base import Fusion


class ImageOnly(Fusion):
    """h = FFN(mean LayerNorm(z_A)); the other side's tokens are not read."""

    sides = ("a",)
