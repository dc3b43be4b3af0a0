"""Weight averaging: two towers of one shape, each trained on its own modality alone, merged by the mean of weights."""

from __future__ import annotations

from ngw.methods.joint import Joint


class WeightAveraging(Joint):
    """A stem a modality, and one trunk: the mean of two trunks' weights (Wortsman et al. 2022; Matena and Raffel 2022).

    Each tower learns without the other, by telling an item's own second view from other items' (SimCLR, Chen et al.
    2020; of texts SimCSE, Gao et al. 2021): two crops of an image, two parts of a caption's words. It needs no pair.

    weight: of the text tower in the mean.  align: "none", or "ot": the text trunk's neurons are put in the order of the
    image trunk's by optimal transport between their weights before (OTFusion, Singh and Jaggi 2020).
    keep: the share of a caption's words in a view.
    """

    supervision = "none"
    min_pairs = 0
    reference = "Wortsman et al. 2022; Singh and Jaggi 2020"

    def __init__(
        self,
        weight: float = 0.5,
        align: str = "none",
        keep: float = 0.7,
        size: int = 32,
        patch: int = 8,
        dims: int = 96,
        layers: int = 3,
        heads: int = 4,
        width: int = 64,
        words: int = 24,
        crop: float = 0.5,
        steps: int = 300,
        batch: int = 64,
        learning_rate: float = 2e-3,
        warmup: float = 0.05,
        looks: int = 6,
        patience: int = 3,
        held_out: float = 0.05,
    ) -> None:
        super().__init__(
            None, size, patch, dims, layers, heads, width, words, crop, steps, batch, learning_rate, warmup, looks,
            patience, held_out,
        )  # fmt: skip
        if align not in ("none", "ot"):
            raise ValueError(f"align is none or ot, not {align!r}")
        if not (0 <= weight <= 1 and 0 < keep <= 1):
            raise ValueError(f"weight is in [0, 1] and keep in (0, 1], not {weight} and {keep}")
        self.weight, self.align, self.keep = weight, align, keep
