"""What a fit gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a fit gave.

    Attributes:
        report: the JSON document of `headstart fit --json`.
        path: the artefact.
        owner: keeps a temporary artefact alive; None where `out` was given.
        interrupted: True where the user stopped the fit while it tried more; the best until then was kept.
    """

    report: dict[str, Any]
    path: Path
    owner: Any = None
    interrupted: bool = False
