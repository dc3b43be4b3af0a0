"""The proposal's fusion: each side's tokens attend to the other side's, carried over by T_BA and T_AB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ngw.fusion.base import Fusion
from ngw.options import option

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(eq=False)
class CrossAttention(Fusion):
    """h_A = alpha_A z_A + (1 - alpha_A) CrossAttn(z_A, T_BA(z_B)), h_B likewise; then LayerNorm, mean, FFN.

    Both arguments of h_A live in A's space and pass one projection to d, so the alignment, not training, makes their
    products meaningful at the start.
    """

    exchanges = attends = True

    alpha: float = option(0.5, above=0, below=1)  # where the images' learned alpha starts
    # Where the questions' alpha starts, near 1: their words matter most, and few labels don't teach what to mix in.
    alpha_b: float = option(0.95, above=0, below=1)
    tune: str = option("frozen", among=("frozen", "fine"))  # the maps, or fine-tuned with the rest
    pooled: bool = False  # an ablation: one token a side, whose softmax is 1
    # If the aligner compares, the image's similarity to each answer and to the question adds to the answers' scores,
    # by gains and gates that start closed.
    similarity: bool = True
    # false: a learned projection of the other side's raw features replaces T and the shared projection: plain
    # cross-attention, the baseline.
    aligned: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tune == "fine" and not self.aligned:
            raise ValueError("tune: fine is for maps, which aligned: false leaves out; drop one of the two")

    @property
    def role(self) -> str:  # type: ignore[override]  # follows from an option
        return "method" if self.aligned else "baseline"

    @property
    def compares(self) -> bool:  # type: ignore[override]  # follows from options
        return self.aligned and self.similarity

    def attend_to(self, q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
        """`attend`."""
        return attend(q, k, mask)


def attend(q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
    """CrossAttn(q, k) = softmax(q k' / sqrt(d)) k over the keys in mask (proposal 2.4); keys are the values.

    q [b, t, d], k [b, s, d], mask [b, s]; [b, t, d].  0 if an item has no key: then h_A = alpha_A z_A, which LayerNorm
    turns into that of z_A, as without the other side.
    """
    from torch.nn.functional import scaled_dot_product_attention

    any_key = mask.any(1)[:, None, None]  # [b, 1, 1]
    allowed = (mask[:, None, :] | ~any_key)[:, None]  # [b, 1 head, 1 query, s]: softmax over nothing would be NaN
    seen = scaled_dot_product_attention(q[:, None], k[:, None], k[:, None], attn_mask=allowed)[:, 0]
    return seen if any_key.all() else seen * any_key
