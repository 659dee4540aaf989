"""Progress on stderr: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Protocol, TextIO

from headstart.cli.lines import visible, write_line
from headstart.progress import Bar, Progress

# A bar that ended sooner leaves no line behind.
_WORTH_A_LINE = 1.0
_WORTH_A_RATE = 32
# Seconds of silence after which a line says that work goes on, though nothing is done since.
_SILENCE = 60.0


class Watcher(Progress, Protocol):
    """Progress that remembers what it said.

    Attributes:
        said: the lines, so that they need not be said again with the result.
    """

    said: list[str]


def watch(stream: TextIO) -> Watcher:
    """What suits the stream: bars if it is a terminal, else lines."""
    return _Bars(stream) if stream.isatty() and os.environ.get("TERM") != "dumb" else Lines(stream)


class _Count:
    """How far one bar is: what was worked on, and apart from it what was only looked up."""

    def __init__(self, total: int | None, unit: str) -> None:
        self.start = time.monotonic()
        self.done = 0
        self._total, self._unit = total, unit
        self._cached = 0
        self._working = self.start  # since when

    def add(self, steps: int, cached: bool) -> None:
        self.done += steps
        if cached:
            if self._cached == self.done - steps:  # nothing but look-ups so far
                self._working = time.monotonic()
            self._cached += steps

    def goal(self) -> str:
        """How many of how many: "48/60"."""
        return f"{self.done}" if self._total is None else f"{self.done}/{self._total}"

    def rate(self) -> str:
        """Items a second: "312 images/s"; of none yet, or of a handful, which are seldom alike, only what they are."""
        worked, elapsed = self.done - self._cached, time.monotonic() - self._working
        looked_up = f" ({self._cached} from the cache)" if self._cached else ""
        few = self._total is not None and self._total - self._cached < _WORTH_A_RATE
        if few or not worked or elapsed <= 0:
            return self._unit + looked_up
        speed = worked / elapsed
        return (f"{speed:,.0f}" if speed >= 10 else f"{speed:.2f}") + f" {self._unit}/s{looked_up}"


class Lines:
    """Progress as plain lines: at most one every few seconds, and where nothing gets done one a minute."""

    def __init__(self, stream: TextIO, every: float = 5.0) -> None:
        self.said: list[str] = []
        self._stream = stream
        self._every = every
        self._last = time.monotonic()
        self._lock = Lock()

    @contextmanager
    def bar(self, label: str, detail: str, total: int | None, unit: str) -> Iterator[Bar]:
        """A count that tells now and then where it is, and at its end."""
        running = _Line(self, f"{label} {detail}".rstrip(), _Count(total, unit))
        yield running
        if time.monotonic() - running.count.start >= _WORTH_A_LINE and running.told != running.count.done:
            self._write(running.text())

    def say(self, line: str) -> None:
        """A line, at once."""
        self.said.append(line)
        self._write(line)

    def _write(self, line: str) -> None:
        self._last = time.monotonic()
        write_line(self._stream, line)
        self._stream.flush()

    def maybe_say(self, line: _Line, steps: int, cached: bool) -> None:
        """Count `steps`, and tell if the last line is long enough ago; from any thread."""
        with self._lock:
            line.count.add(steps, cached)
            news = line.count.done > max(line.told, 0)
            if time.monotonic() - self._last >= (self._every if news else _SILENCE):
                line.told = line.count.done
                self._write(line.text() if news else f"{line.text()}, still at it")


class _Line:
    """One count of Lines."""

    def __init__(self, owner: Lines, name: str, count: _Count) -> None:
        self._owner, self._name, self.count = owner, name, count
        self.told = -1

    def advance(self, steps: int = 1, *, cached: bool = False) -> None:
        self._owner.maybe_say(self, steps, cached)

    def text(self) -> str:
        return f"{self._name}  {self.count.goal()}  {self.count.rate()}"


class _Bars:
    """Progress drawn with rich; nested and simultaneous bars share one display."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self.said: list[str] = []
        self._console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
        self._display: Any = None
        self._open = 0
        self._lock = Lock()

    @contextmanager
    def bar(self, label: str, detail: str, total: int | None, unit: str) -> Iterator[Bar]:
        with self._lock:
            if self._open == 0:
                self._display = self._start()
            self._open += 1
            display = self._display
        task = display.add_task(label, total=total, detail=visible(detail), rate="")
        running = _RichBar(display, task, _Count(total, unit))
        try:
            yield running
        finally:
            if time.monotonic() - running.count.start < _WORTH_A_LINE:
                display.remove_task(task)
            with self._lock:
                self._open -= 1
                if self._open == 0:
                    display.stop()

    def say(self, line: str) -> None:
        self.said.append(line)
        self._console.print(visible(line))

    def _start(self) -> Any:
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Display

        display = Display(
            TextColumn("{task.description:<7}", markup=False),
            TextColumn("{task.fields[detail]:<24}", markup=False),
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[rate]}", markup=False),
            SpinnerColumn("line"),
            console=self._console,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        display.start()
        return display


class _RichBar:
    """One bar of _Bars."""

    def __init__(self, display: Any, task: Any, count: _Count) -> None:
        self._display, self._task, self.count = display, task, count

    def advance(self, steps: int = 1, *, cached: bool = False) -> None:
        self.count.add(steps, cached)
        self._display.update(self._task, advance=steps, rate=self.count.rate() if self.count.done else "")
