"""Where a command's words go: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

from headstart.cli.lines import write_line
from headstart.errors import one_line
from headstart.progress import SILENT, Progress

if TYPE_CHECKING:
    from headstart.cli.progress import Watcher


class Output:
    """The two streams of a command.

    Attributes:
        json: print JSON documents instead of text for people.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.json = as_json
        self._results = sys.stdout
        self._remarks = sys.stderr

    def document(self, value: object) -> None:
        """One JSON document, on one line."""
        write_line(self._results, json.dumps(plain(value), allow_nan=False))

    def lines(self, lines: Iterable[str]) -> None:
        """Text for people."""
        for line in lines:
            write_line(self._results, line)

    def warn(self, text: str) -> None:
        """Something the user should know that is no result."""
        write_line(self._remarks, f"headstart: {one_line(text)}")

    def progress(self) -> Watcher:
        """What draws progress on stderr."""
        from headstart.cli.progress import watch

        return watch(self._remarks)

    def progress_beside_results(self) -> Progress:
        """Progress of work whose results are printed as they come: no bar is drawn between them on a terminal."""
        return SILENT if self._results.isatty() else self.progress()


def plain(value: Any) -> Any:
    """A value as JSON can hold it: numbers that are not finite become null, paths and keys strings."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays, without importing NumPy
        return plain(value.tolist())
    return str(value)
