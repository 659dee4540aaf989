"""How to fit: every option, checked together."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

from headstart.archive.container import is_odd
from headstart.data.dataset import Modality
from headstart.errors import OptionError
from headstart.tasks import Task


@dataclass(frozen=True)
class FitOptions:
    """How to fit.

    Attributes:
        out: where to write the artefact; None keeps it in a temporary file until `Model.save`.
        sources: names or references of sources; empty for the default of the modality.
        strategies: "frozen", "frozen-ridge", ...; empty for all.
        budget: seconds for the whole fit; None tries every candidate that is worth its time.
        modality, task, input, label, group, time: override what is inferred from the data.
        balance: weigh items so that every class counts the same, in the fits and in what is said of them.
        cache: keep features on disk.
    """

    out: Path | None = None
    sources: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    budget: float | None = None
    modality: Modality | None = None
    task: Task | None = None
    input: str | None = None
    label: str | None = None
    group: str | None = None
    time: str | None = None
    seed: int = 0
    balance: bool = False
    cache: bool = True

    def __post_init__(self) -> None:
        wrong = []
        if self.budget is not None and not (_is_number(self.budget, Real) and self.budget > 0):
            wrong.append(f"budget {self.budget!r}: expected a positive number of seconds")
        if not (_is_number(self.seed, Integral) and 0 <= self.seed < 2**32):
            wrong.append(f"seed {self.seed!r}: expected a whole number from 0 to 4294967295")
        else:
            object.__setattr__(self, "seed", int(self.seed))  # NumPy's integers are not JSON
        if self.out is not None and self.out.is_dir():
            wrong.append(f"out {str(self.out)!r} is a folder: expected the name of a file to write")
        if self.out is not None and is_odd(self.out):
            wrong.append(f"out {str(self.out)!r} is a device, a pipe or a socket: expected the name of a file to write")
        if self.out is not None and not self.out.parent.is_dir():
            wrong.append(f"out {str(self.out)!r}: the folder {str(self.out.parent)!r} does not exist")
        if wrong:
            raise OptionError("; ".join(wrong))


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
