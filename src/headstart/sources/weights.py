"""A weight by its name, as the architecture that reads it needs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from headstart.errors import SourceError


def weight_of(
    state: Mapping[str, NDArray[Any]], name: str, shape: tuple[int | None, ...], family: str, model: str
) -> NDArray[Any]:
    """The weight, in the type that it has.

    Args:
        shape: its sizes; None for any.
        family, model: in words: "Whisper", "a Whisper model".

    Raises:
        SourceError: it is missing or has another shape.
    """
    array = state.get(name)
    fits = array is not None and array.ndim == len(shape)
    if array is None or not fits or any(w is not None and w != g for w, g in zip(shape, array.shape, strict=True)):
        got = "missing" if array is None else f"of shape {array.shape}, not {shape}"
        raise SourceError(f"{family} weights: {name} is {got}; these are not the weights of {model}")
    return array
