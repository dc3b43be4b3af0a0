"""Weight averaging for questions: an image-only and a question-only transformer of one shape, and their mean."""

from __future__ import annotations

from dataclasses import dataclass

from ngw.fusion.joint import Joint
from ngw.options import option


@dataclass
class Merging:
    """The option for the mean of two transformers; it comes before their own options."""

    weight: float = option(0.5, least=0, most=1)  # of the question-only model in the mean


@dataclass(eq=False)
class WeightAveraging(Joint, Merging):
    """Both start from the same weights (the case in which averaging is known to work: Wortsman et al. 2022).

    The mean covers trunk and classifier; each keeps its own stem.
    """

    reference = "Wortsman et al. 2022"
