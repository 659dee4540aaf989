"""Any failure of a strategy is one line."""

from __future__ import annotations

import errno

import pytest

from headstart.errors import EngineError
from headstart.plan.failure import left_out, reason_of


class OutOfMemoryError(RuntimeError):
    """As torch names its own, which is a RuntimeError too."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (EngineError("a graph\ncannot be trained"), "a graph cannot be trained"),
        (MemoryError(), "not enough memory"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "not enough memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError("odd"), "odd"),
        (IndexError("a mistake\nof a plug-in"), "internal error: IndexError: a mistake of a plug-in (please report)"),
        (ImportError("no x"), "internal error: ImportError: no x (please report)"),
    ],
)  # fmt: skip
def test_a_failure_is_told_in_one_line(error, words):
    assert reason_of(error) == words
    assert left_out(error) == f"left out: {words}"


@pytest.mark.parametrize("asked", ["", "1"])
def test_who_debugs_gets_the_traceback(monkeypatch, capsys, asked):
    monkeypatch.setenv("HEADSTART_DEBUG", asked)

    def learn():
        raise IndexError("a mistake")

    with pytest.raises(IndexError) as raised:
        learn()
    assert reason_of(raised.value).startswith("internal error")
    printed = capsys.readouterr().err
    assert ("in learn\n" in printed and printed.endswith("IndexError: a mistake\n")) if asked else not printed
