"""Control: what the images alone tell, through the same trunk."""

from __future__ import annotations

from ngw.fusion.base import Fusion


class ImageOnly(Fusion):
    """h = FFN(mean LayerNorm(z_A)); the other side's tokens are not looked at."""

    sides = ("a",)
