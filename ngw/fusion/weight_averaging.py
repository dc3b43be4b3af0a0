"""Weight averaging for questions: an image-only and a question-only transformer of one shape, and their mean."""

from __future__ import annotations

from ngw.fusion.joint import Joint


class WeightAveraging(Joint):
    """Both start from the same weights (the case in which averaging is known to work: Wortsman et al. 2022).

    weight: of the question-only model in the mean of trunk and classifier; each brings its own stem.
    """

    reference = "Wortsman et al. 2022"

    def __init__(
        self,
        weight: float = 0.5,
        size: int = 32,
        patch: int = 8,
        dims: int = 96,
        layers: int = 3,
        heads: int = 4,
        words: int = 24,
        epochs: float = 2.0,
        learning_rate: float = 1e-3,
    ) -> None:
        super().__init__(size, patch, dims, layers, heads, words, epochs, learning_rate)
        if not 0 <= weight <= 1:
            raise ValueError(f"weight is in [0, 1], not {weight}")
        self.weight = weight
