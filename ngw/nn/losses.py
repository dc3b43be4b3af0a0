"""Losses over a batch of pairs' scores."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid


def infonce(scores: Tensor) -> Tensor:
    """Symmetric cross entropy of logits [b, b] whose diagonal is true (CLIP; Radford et al. 2021, figure 3)."""
    truth = torch.arange(len(scores), device=scores.device)
    return (cross_entropy(scores, truth) + cross_entropy(scores.T, truth)) / 2


def sigmoid(scores: Tensor) -> Tensor:
    """One decision for each pair of rows: -sum log sigmoid(+-logit) / b (SigLIP; Zhai et al. 2023, eq. 2)."""
    return -logsigmoid(scores * (2 * torch.eye(len(scores), device=scores.device) - 1)).sum() / len(scores)
