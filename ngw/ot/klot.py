"""KLOT: the divergence between two entropic plans, and its exact gradient without unrolling Sinkhorn (SOTAlign)."""

from __future__ import annotations

import torch
from torch import Tensor


def scaling(
    scores: Tensor, a: Tensor, b: Tensor, max_iter: int = 100, tol: float = 1e-3
) -> tuple[Tensor, Tensor, Tensor]:
    """(log K [n, m], u [n], v [m]) such that diag(u) K diag(v) has the marginals a and b: Sinkhorn, for a batch.

    scores [n, m]: affinity / epsilon.  K is exp(scores) up to one factor per row and column, so that each of them has
    an entry 1 and none underflows.  tol: L1 error of the columns, as a share of the mass; the rows are exact.
    `ngw.ot.sinkhorn` is for whole clouds: its safeguards cost more than a batch does.
    """
    scores = scores - scores.amax(1, keepdim=True)
    scores = scores - scores.amax(0)
    kernel, tiny = scores.exp(), torch.finfo(scores.dtype).tiny
    v, bound = torch.ones_like(b), tol * b.sum()
    for step in range(max_iter):
        u = a / (kernel @ v).clamp_min(tiny)
        columns = kernel.T @ u
        if (v * columns - b).abs().sum() <= bound or step == max_iter - 1:
            break
        v = b / columns.clamp_min(tiny)
    return scores, u, v


class KLOT(torch.autograd.Function):
    """KL(P* | P), where P is the entropic plan of an affinity, with the marginals of the target plan P*.

    log P = (affinity + f + g) / epsilon, and <P*, f> + <P*, g> depends on P*'s marginals alone, so the divergence is
    the dual of the transport problem less a linear term: by the envelope theorem its gradient is (P - P*) / epsilon.
    Source: SOTAlign (Roschmann et al. 2026), theorem 5.1; there both plans are uniform.
    """

    @staticmethod
    def forward(ctx, affinity: Tensor, target: Tensor, epsilon: float, max_iter: int, tol: float) -> Tensor:
        log_kernel, u, v = scaling(affinity / epsilon, target.sum(1), target.sum(0), max_iter, tol)
        tiny = torch.finfo(affinity.dtype).tiny
        log_plan = log_kernel + u.clamp_min(tiny).log()[:, None] + v.clamp_min(tiny).log()
        plan = u[:, None] * log_kernel.exp() * v
        ctx.save_for_backward(plan - target)
        ctx.epsilon = epsilon
        divergence = torch.special.xlogy(target, target) - target * log_plan + plan - target
        return divergence.sum()

    @staticmethod
    def backward(ctx, grad: Tensor):
        (difference,) = ctx.saved_tensors
        return grad * difference / ctx.epsilon, None, None, None, None


def klot(affinity: Tensor, target: Tensor, epsilon: float, max_iter: int = 100, tol: float = 1e-3) -> Tensor:
    """KL(P* | P) of the target plan P* [n, m] and the plan P of `affinity` [n, m] (larger is closer) at `epsilon`.

    epsilon: in the affinity's units.  target: not negative; its marginals, which may hold zeros, are P's.
    Differentiable in the affinity; the target is a constant.
    """
    if affinity.shape != target.shape or affinity.ndim != 2:
        raise ValueError(f"klot: expected two matrices alike, found {list(affinity.shape)} and {list(target.shape)}.")
    if not epsilon > 0 or max_iter < 1:
        raise ValueError(f"klot: expected epsilon > 0 and max_iter >= 1, found {epsilon!r} and {max_iter!r}.")
    return KLOT.apply(affinity, target, epsilon, max_iter, tol)
