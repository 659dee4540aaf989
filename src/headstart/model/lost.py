"""Inputs that could not be read, told between the predictions where they were given."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from headstart.data.dataset import Skipped


def errors_before(lost: deque[Skipped], position: int) -> Iterator[dict[str, Any]]:
    """{input, error} of what was given before the item at `position` and could not be read; taken off `lost`."""
    while lost and lost[0].before <= position:
        skipped = lost.popleft()
        yield {"input": skipped.id, "error": skipped.reason}
