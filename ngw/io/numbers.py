"""Arrays of numbers from any container: NumPy's, lists, data frames, tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ngw.errors import InputError


def numbers(x: Any, name: str) -> np.ndarray:
    """An array of booleans, whole or real numbers, from any container; nothing is hidden, dropped or parsed."""
    if np.ma.is_masked(x):
        row = int(np.argwhere(np.ma.getmaskarray(x))[0][0])
        raise InputError(
            f"{name}: expected numbers, found masked ones, the first in row {row}; fill them or drop rows."
        )
    try:
        if hasattr(x, "detach"):  # a torch tensor, which may have a gradient or lie on a GPU
            x = x.detach().cpu()
            x = x.float() if str(x.dtype) == "torch.bfloat16" else x  # which NumPy lacks
        array = np.asarray(x)
        if array.dtype.kind == "O" and not any(isinstance(value, (str, bytes)) for value in array.flat):
            array = array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"{name}: expected an array of numbers, neither ragged nor sparse, found a {type(x).__name__} ({reason}); "
            "pass one row per sample."
        ) from None
    if array.dtype.kind == "c":
        raise InputError(
            f"{name}: expected real numbers, found {array.dtype} (Complex data not supported); pass real and imaginary "
            "parts side by side."
        )
    if array.dtype.kind not in "biuf":
        kind = "text" if array.dtype.kind in "OSUT" else str(array.dtype)
        raise InputError(f"{name}: expected an array of numbers, found one of {kind}; turn it into numbers.")
    return array
