"""Regularised canonical correlation analysis on the known pairs."""

from __future__ import annotations

from dataclasses import dataclass

from ngw.methods._variates import Variates
from ngw.options import option


@dataclass(eq=False, repr=False)
class CCA(Variates):
    """Canonical variates, weighted by a power of their correlations.

    Sources: Hotelling 1936; Vinod 1976 (ridge); Gong et al. 2014, eq. 6 (weighting by correlations).
    """

    reference = "Hotelling 1936; Vinod 1976"

    # Null: chosen on held-out pairs.
    ridge: float | None = option(None, above=0)  # in units of the mean eigenvalue of the paired covariance
    power: float | None = option(None)  # of the correlations, by which the variates are weighted
    dims: int | None = option(None, least=1)  # variates that are kept; null: all
