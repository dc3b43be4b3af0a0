"""Control: what every pair would give. CCA on all true pairs, whatever the budget."""

from __future__ import annotations

from ngw.methods.cca import CCA


class Oracle(CCA):
    """CCA on all true pairs: the ceiling for every method with a budget."""

    role = "control"
    supervision = "all"
