"""How an answering network is trained: options that are checked without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ngw.errors import InputError

if TYPE_CHECKING:
    from ngw.nn.training import Schedule


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained.

    epochs: passes over the training questions; with fewer labels the steps are as many, over fewer questions.
    looks: at the held-out questions, evenly over the steps; at each a checkpoint.  patience: looks without a gain.
    held_out: share of the labelled images whose questions choose the step that is kept, and are not trained on.
    device: "auto" takes a GPU where there is one.
    """

    epochs: float = 4.0
    batch: int = 128
    learning_rate: float = 2e-3
    looks: int = 12
    patience: int = 4
    held_out: float = 0.1
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        wrong = [k for k in ("epochs", "batch", "learning_rate", "looks", "patience") if not getattr(self, k) > 0]
        if wrong:
            raise InputError(f"training: {wrong[0]}: expected more than 0, found {getattr(self, wrong[0])}; mend it.")
        if not 0 < self.held_out < 1:
            raise InputError(f"training: held_out: expected a share in (0, 1), found {self.held_out}; mend it.")

    def schedule(self, questions: int) -> Schedule:
        """Steps for so many training questions (all of them, not the labelled ones alone)."""
        from ngw.nn.training import Schedule

        steps = max(1, round(self.epochs * questions / self.batch))
        return Schedule(steps, self.learning_rate, max(1, -(-steps // self.looks)), self.patience)
