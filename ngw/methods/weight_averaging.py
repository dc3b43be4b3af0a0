"""Weight averaging: two towers of one shape, each trained on its own modality alone, merged by the mean of weights."""

from __future__ import annotations

from dataclasses import dataclass, field

from ngw.methods.joint import Joint
from ngw.options import option


@dataclass
class Merging:
    """How two towers become one: options that come before the towers' own."""

    weight: float = option(0.5, least=0, most=1)  # of the text tower in the mean
    # ot: optimal transport between weights first puts the text trunk's neurons in the order of the image trunk's
    # (OTFusion, Singh and Jaggi 2020).
    align: str = option("none", among=("none", "ot"))
    keep: float = option(0.7, above=0, most=1)  # share of a caption's words in a view


@dataclass(eq=False, repr=False)
class WeightAveraging(Joint, Merging):
    """A stem a modality, and one trunk: the mean of two trunks' weights (Wortsman et al. 2022; Matena and Raffel 2022).

    Each tower learns without the other, to distinguish an item's second view from other items' (SimCLR, Chen et al.
    2020; for texts SimCSE, Gao et al. 2021): two crops of an image, two parts of a caption's words. It needs no pairs.
    """

    supervision = "none"
    min_pairs = 0
    reference = "Wortsman et al. 2022; Singh and Jaggi 2020"

    crop: float = option(0.5, above=0, most=1)
    steps: int = option(300, least=1)
    looks: int = option(6, least=1)
    # No options here.
    model: str | None = field(default=None, init=False)
    parts: int = field(default=1, init=False)
    precision: str = field(default="float32", init=False)
