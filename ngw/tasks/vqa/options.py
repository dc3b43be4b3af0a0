"""The training options of an answering network, checked without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ngw.options import check, option

if TYPE_CHECKING:
    from ngw.nn.training import Schedule


@dataclass(frozen=True)
class TrainingOptions:
    """The training options of a network."""

    epochs: float = option(4.0, above=0)  # passes over the training questions; fewer labels keep the number of steps
    batch: int = option(128, above=0)
    learning_rate: float = option(2e-3, above=0)
    looks: int = option(12, above=0)  # evaluations on held-out questions, evenly over the steps, with checkpoints
    patience: int = option(4, above=0)  # evaluations without a gain, after which training ends
    held_out: float = option(0.1, above=0, below=1)  # share of the labelled images; they choose the final step
    device: str = option("auto", among=("auto", "cpu", "cuda"))  # auto takes a GPU if there is one

    def __post_init__(self) -> None:
        check(self, "training")

    def schedule(self, questions: int) -> Schedule:
        """The schedule for a number of training questions (all of them, not only the labelled ones)."""
        from ngw.nn.training import Schedule

        steps = max(1, round(self.epochs * questions / self.batch))
        return Schedule(steps, self.learning_rate, max(1, -(-steps // self.looks)), self.patience)
