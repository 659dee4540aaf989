"""Progress on stderr: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Protocol, TextIO

from headstart.cli.lines import write_line
from headstart.progress import Bar, Progress

# A bar that ended sooner leaves no line behind.
_WORTH_A_LINE = 1.0
_WORTH_A_RATE = 32


class Watcher(Progress, Protocol):
    """Progress that remembers what it said.

    Attributes:
        said: the lines, so that they need not be said again with the result.
    """

    said: list[str]


def watch(stream: TextIO) -> Watcher:
    """What suits the stream: bars if it is a terminal, else lines."""
    return _Bars(stream) if stream.isatty() and os.environ.get("TERM") != "dumb" else Lines(stream)


def rate(done: int, elapsed: float, unit: str, total: int | None) -> str:
    """Items a second: "312 images/s"; of a handful, which are seldom alike, only what they are: "candidates"."""
    if total is not None and total < _WORTH_A_RATE:
        return unit
    speed = done / elapsed if elapsed > 0 else 0.0
    return f"{speed:,.0f} {unit}/s" if speed >= 10 else f"{speed:.2f} {unit}/s"


class Lines:
    """Progress as plain lines, at most one every few seconds."""

    def __init__(self, stream: TextIO, every: float = 5.0) -> None:
        self.said: list[str] = []
        self._stream = stream
        self._every = every
        self._last = time.monotonic()
        self._lock = Lock()

    @contextmanager
    def bar(self, label: str, detail: str, total: int | None, unit: str) -> Iterator[Bar]:
        """A count that tells now and then where it is, and at its end."""
        running = _Line(self, f"{label} {detail}".rstrip(), total, unit)
        yield running
        if time.monotonic() - running.start >= _WORTH_A_LINE and running.told != running.done:
            self._write(running.text())

    def say(self, line: str) -> None:
        """A line, at once."""
        self.said.append(line)
        self._write(line)

    def _write(self, line: str) -> None:
        self._last = time.monotonic()
        write_line(self._stream, line)
        self._stream.flush()

    def maybe_say(self, line: _Line, steps: int) -> None:
        """Count `steps`, and tell if the last line is long enough ago; from any thread."""
        with self._lock:
            line.done += steps
            if time.monotonic() - self._last >= self._every:
                line.told = line.done
                self._write(line.text())


class _Line:
    """One count of Lines."""

    def __init__(self, owner: Lines, name: str, total: int | None, unit: str) -> None:
        self._owner, self._name, self._total, self._unit = owner, name, total, unit
        self.done = 0
        self.told = -1
        self.start = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self._owner.maybe_say(self, steps)

    def text(self) -> str:
        goal = "" if self._total is None else f"/{self._total}"
        speed = rate(self.done, time.monotonic() - self.start, self._unit, self._total)
        return f"{self._name}  {self.done}{goal}  {speed}"


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
        task = display.add_task(label, total=total, detail=detail, rate="")
        running = _RichBar(display, task, total, unit)
        try:
            yield running
        finally:
            if time.monotonic() - running.start < _WORTH_A_LINE:
                display.remove_task(task)
            with self._lock:
                self._open -= 1
                if self._open == 0:
                    display.stop()

    def say(self, line: str) -> None:
        self.said.append(line)
        self._console.print(line)

    def _start(self) -> Any:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Display

        display = Display(
            TextColumn("{task.description:<7}", markup=False),
            TextColumn("{task.fields[detail]:<24}", markup=False),
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[rate]}", markup=False),
            console=self._console,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        display.start()
        return display


class _RichBar:
    """One bar of _Bars."""

    def __init__(self, display: Any, task: Any, total: int | None, unit: str) -> None:
        self._display, self._task, self._total, self._unit = display, task, total, unit
        self._done = 0
        self.start = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        speed = rate(self._done, time.monotonic() - self.start, self._unit, self._total)
        self._display.update(self._task, advance=steps, rate=speed)
