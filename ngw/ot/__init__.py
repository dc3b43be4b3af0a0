"""Entropic optimal transport: arrays in, arrays out; no file, no config."""

from ngw.ot.plan import Coupling
from ngw.ot.sinkhorn import sinkhorn

__all__ = ["Coupling", "sinkhorn"]
