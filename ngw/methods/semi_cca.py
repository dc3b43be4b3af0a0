"""Canonical correlation analysis with covariances from all rows, known pairs or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngw.methods._variates import Rest
from ngw.methods.cca import CCA


@dataclass(eq=False, repr=False)
class SemiCCA(CCA):
    """CCA of the known pairs' cross-covariance between whitenings of the whole clouds; with all pairs it is `cca`.

    Source: Kimura et al. 2010 and 2013 (SemiCCA).  What differs: they solve one eigenproblem that blends CCA of the
    pairs with PCA of all rows by a weight that the user chooses, and so also find directions that only vary.
    Here unpaired rows enter the whitening alone, each like a paired one, and a ridge takes the blend's place.
    """

    reference = "Kimura et al. 2010, 2013"

    def _rest(self, x: np.ndarray, y: np.ndarray, pairs: np.ndarray) -> Rest:
        return np.delete(x, pairs[:, 0], axis=0), np.delete(y, pairs[:, 1], axis=0)
