"""The same input with different labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headstart.data.dataset import Dataset


@dataclass
class _Seen:
    id: str
    label: bytes
    contradicted: bool = False


def contradictions(data: Dataset) -> tuple[str, ...]:
    """A note if the same input stands there with different labels; a number may differ without contradiction."""
    if data.target is None or data.target.task == "regression":
        return ()
    first: dict[object, _Seen] = {}
    example = ""
    for i, item in enumerate(data.items):
        key = item.tobytes() if isinstance(item, np.ndarray) else item
        label = data.target.y[i].tobytes()
        seen = first.setdefault(key, _Seen(data.ids[i], label))
        if seen.label != label:
            seen.contradicted = True
            example = example or f"{seen.id} and {data.ids[i]}"
    count = sum(seen.contradicted for seen in first.values())
    if not count:
        return ()
    inputs = "input stands" if count == 1 else "inputs stand"
    return (f"{count} {inputs} there with different labels, kept all the same: {example}",)
