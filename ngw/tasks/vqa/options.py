"""How an answering network is trained: options that are checked without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ngw.options import check, option

if TYPE_CHECKING:
    from ngw.nn.training import Schedule


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained."""

    epochs: float = option(4.0, above=0)  # passes over the training questions; fewer labels keep the number of steps
    batch: int = option(128, above=0)
    learning_rate: float = option(2e-3, above=0)
    looks: int = option(12, above=0)  # at held-out questions, evenly over the steps; at each a checkpoint
    patience: int = option(4, above=0)  # looks without a gain, after which training ends
    held_out: float = option(0.1, above=0, below=1)  # share of the labelled images, which choose the step that is kept
    device: str = option("auto", among=("auto", "cpu", "cuda"))  # auto takes a GPU where there is one

    def __post_init__(self) -> None:
        check(self, "training")

    def schedule(self, questions: int) -> Schedule:
        """Steps for so many training questions (all of them, not the labelled ones alone)."""
        from ngw.nn.training import Schedule

        steps = max(1, round(self.epochs * questions / self.batch))
        return Schedule(steps, self.learning_rate, max(1, -(-steps // self.looks)), self.patience)
