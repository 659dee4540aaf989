"""How to draw a learning curve: every option, checked together."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

from headstart.data.dataset import Modality
from headstart.errors import OptionError
from headstart.tasks import Task

SHOTS = (1, 2, 5, 10, 20, 50)
_MOST_DRAWS, _MOST_SHOTS = 100, 1_000_000


@dataclass(frozen=True)
class CurveOptions:
    """How to draw a learning curve.

    Attributes:
        out: where to write the figure, an .svg; None draws none.
        sources: names or references of sources; empty for the default of the modality.
        strategies: curves beside no transfer and the probe: "frozen-logistic", or one that moves weights.
        shots: labels a class; all labels there are come last, always.
        draws: samples of each size; the more, the narrower the intervals.
        test: the share of the items that is held out, to score all curves on.
        modality, task, input, label, group: override what is inferred from the data.
        time: the column to hold the latest items out by; None holds them out at random.
        cache: keep features and trainings on disk.
    """

    out: Path | None = None
    sources: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    shots: tuple[int, ...] = SHOTS
    draws: int = 5
    test: float = 0.3
    modality: Modality | None = None
    task: Task | None = None
    input: str | None = None
    label: str | None = None
    group: str | None = None
    time: str | None = None
    seed: int = 0
    cache: bool = True

    def __post_init__(self) -> None:
        wrong = []
        shots = self.shots if isinstance(self.shots, (tuple, list)) else ()
        if not shots or not all(_is_whole(shot, 1, _MOST_SHOTS) for shot in shots):
            wrong.append(f"shots {self.shots!r}: expected labels a class, each a whole number from 1 to {_MOST_SHOTS}")
        if not _is_whole(self.draws, 1, _MOST_DRAWS):
            wrong.append(f"draws {self.draws!r}: expected a whole number from 1 to {_MOST_DRAWS}")
        if not (isinstance(self.test, Real) and not isinstance(self.test, bool) and 0.05 <= self.test <= 0.9):
            wrong.append(f"test {self.test!r}: expected a share from 0.05 to 0.9")
        if not _is_whole(self.seed, 0, 2**32 - 1):
            wrong.append(f"seed {self.seed!r}: expected a whole number from 0 to 4294967295")
        if self.out is not None and self.out.suffix.lower() != ".svg":
            wrong.append(f"out {str(self.out)!r}: the figure is an SVG, so expected a name that ends in .svg")
        if self.out is not None and self.out.is_dir():
            wrong.append(f"out {str(self.out)!r} is a folder: expected the name of a file to write")
        if self.out is not None and not self.out.parent.is_dir():
            wrong.append(f"out {str(self.out)!r}: the folder {str(self.out.parent)!r} does not exist")
        if wrong:
            raise OptionError("; ".join(wrong))
        object.__setattr__(self, "shots", tuple(sorted({int(shot) for shot in shots})))
        object.__setattr__(self, "seed", int(self.seed))  # NumPy's integers are not JSON


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and low <= int(value) <= high
