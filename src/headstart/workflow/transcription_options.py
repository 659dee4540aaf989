"""How to fit a recogniser: every option, checked together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headstart.errors import OptionError
from headstart.workflow.options import FitOptions

STRATEGIES = ("lora", "last-stages", "lora-all", "full")
"""Ways to move a recogniser: the first two its decoder, the others its encoder too."""


@dataclass(frozen=True)
class TranscriptionOptions:
    """How to fit.

    Attributes:
        out: where to write the artefact; None keeps it in a temporary file.
        source: a recogniser, by name or reference; None for tiny.en where the language is English, else base.
        language: of all clips, "en"; None to find it out.
        strategy: how it is moved, one of STRATEGIES; None for "last-stages".
        budget: seconds for the whole fit.
        input, label, group: the table's columns of paths, transcripts and groups.
    """

    out: Path | None = None
    source: str | None = None
    language: str | None = None
    strategy: str | None = None
    budget: float | None = None
    input: str | None = None
    label: str | None = None
    group: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        FitOptions(out=self.out, budget=self.budget, seed=self.seed)  # the same rules
        if self.strategy not in (None, *STRATEGIES):
            raise OptionError(
                f"--strategy {self.strategy}: a recogniser's decoder is moved by {' or '.join(STRATEGIES[:2])}, its "
                f"encoder too by {' or '.join(STRATEGIES[2:])}; name one"
            )
