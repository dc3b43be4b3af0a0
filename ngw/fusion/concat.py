"""The plain baseline: both sides projected, averaged and concatenated. No maps; neither side sees the other."""

from __future__ import annotations

from ngw.fusion.base import Fusion


class Concat(Fusion):
    """h = FFN([mean LayerNorm(z_A); mean LayerNorm(z_B)]): cross-attention whose alphas are 1."""
