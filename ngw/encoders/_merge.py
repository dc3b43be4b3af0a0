"""Weight averaging of two pre-trained transformers of one shape: an image encoder's trunk and a text encoder's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ngw.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

LAYER = re.compile(r"(?:^|\.)layers?\.(\d+)\.(.*)$")
ROLES = {  # of a layer's linear maps, by the families' names for them
    "query": r"\bquery\.|\bq_proj\.|\battn\.q\.",
    "key": r"\bkey\.|\bk_proj\.|\battn\.k\.",
    "value": r"\bvalue\.|\bv_proj\.|\battn\.v\.",
    "attention's output": r"\battention\.output\.dense\.|\bo_proj\.|\battn\.o\.",
    "mlp's first": r"\bintermediate\.dense\.|\bmlp\.fc1\.",
    "mlp's second": r"^output\.dense\.|\bmlp\.fc2\.",
}


def trunk(model: nn.Module) -> dict[tuple[int, str, str], Tensor]:
    """The linear maps of a transformer's layers: {(layer, role, "weight" or "bias"): parameter}.

    Norms are left out: ViT has them before a block, BERT after it, so they don't correspond.
    """
    weights = {}
    for name, parameter in model.named_parameters():
        place = LAYER.search(name)
        if place is None:
            continue
        role = next((role for role, pattern in ROLES.items() if re.search(pattern, place[2])), None)
        if role is not None:
            weights[int(place[1]), role, name.rsplit(".", 1)[1]] = parameter
    return weights


def merge(model: nn.Module, other: nn.Module, weight: float, names: tuple[str, str]) -> None:
    """Move a model's trunk to the weighted mean of both, with `weight` for the other; names: of both, for errors.

    Proposal 2.7's weight averaging (Wortsman et al. 2022; Matena and Raffel 2022), of trunks without a common start.
    Raises `InputError` if a linear map of one has no counterpart of its shape in the other.
    """
    own, others = trunk(model), trunk(other)
    if not own:
        raise InputError(f"{names[0]}: expected a transformer's layers, found none; name a model like ViT or BERT.")
    for key in [*own, *others]:
        shapes = [tuple(side[key].shape) if key in side else None for side in (own, others)]
        if shapes[0] != shapes[1]:
            layer, role, kind = key
            raise InputError(
                f"merged_with: layer {layer}, {role} {kind}: expected one shape, found {shapes[0]} in {names[0]} and "
                f"{shapes[1]} in {names[1]}; take two transformers with as many layers, of one width and hidden size "
                "(ViT-B/16 and BERT-base, say)."
            )
    for key, parameter in own.items():
        parameter.data.lerp_(others[key].data.to(parameter), weight)
