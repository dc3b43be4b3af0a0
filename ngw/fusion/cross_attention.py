"""The proposal's fusion: each side's tokens attend to the other side's, carried over by T_BA and T_AB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ngw.fusion.base import Fusion

if TYPE_CHECKING:
    from torch import Tensor


class CrossAttention(Fusion):
    """h_A = alpha_A z_A + (1 - alpha_A) CrossAttn(z_A, T_BA(z_B)), h_B likewise; then LayerNorm, mean, FFN.

    Both arguments of h_A live in A's space and pass one projection to d, so the alignment, not training, makes their
    products meaningful at the start.
    alpha: where both learned alphas start.  tune: "frozen" maps, or "fine"-tuned with the rest.
    Ablations: pooled, one token a side, whose softmax is 1; aligned: false, where a learned projection of the other
    side's raw features stands in place of T and of the shared projection: plain cross-attention, the baseline.
    """

    role = "method"
    exchanges = attends = True

    def __init__(
        self,
        dims: int = 256,
        hidden: int = 512,
        width: int = 512,
        alpha: float = 0.5,
        tune: Literal["frozen", "fine"] = "frozen",
        pooled: bool = False,
        aligned: bool = True,
    ) -> None:
        super().__init__(dims, hidden, width)
        if not 0 < alpha < 1:
            raise ValueError(f"alpha is a share in (0, 1), both ends excluded; not {alpha}")
        if tune not in ("frozen", "fine"):
            raise ValueError(f"tune is frozen or fine, not {tune!r}")
        if tune == "fine" and not aligned:
            raise ValueError("tune: fine is for maps, which aligned: false leaves out; drop one of the two")
        self.alpha, self.tune, self.pooled, self.aligned = alpha, tune, pooled, aligned
        self.role = "method" if aligned else "baseline"

    def attend_to(self, q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
        """`attend`."""
        return attend(q, k, mask)


def attend(q: Tensor, k: Tensor, mask: Tensor) -> Tensor:
    """CrossAttn(q, k) = softmax(q k' / sqrt(d)) k over the keys in mask (proposal 2.4); keys are the values.

    q [b, t, d], k [b, s, d], mask [b, s]; [b, t, d].  Where an item has no key, 0: then h_A = alpha_A z_A, which
    LayerNorm makes z_A, as if the other side weren't there.
    """
    from torch.nn.functional import scaled_dot_product_attention

    any_key = mask.any(1)[:, None, None]  # [b, 1, 1]
    allowed = (mask[:, None, :] | ~any_key)[:, None]  # [b, 1 head, 1 query, s]: softmax over nothing would be NaN
    seen = scaled_dot_product_attention(q[:, None], k[:, None], k[:, None], attn_mask=allowed)[:, 0]
    return seen if any_key.all() else seen * any_key
