"""Without a budget, the same data and seed give the same file, however fast the machine is."""

from __future__ import annotations

import time

from headstart.workflow import FitOptions, fit


def test_a_slow_clock_changes_no_byte(corners, blind, tmp_path, monkeypatch):
    monkeypatch.setattr("headstart.data.splits.usual_folds", lambda *given: 3)

    def fitted(name: str) -> bytes:
        options = FitOptions(out=tmp_path / f"{name}.headstart", sources=(str(blind),))
        return fit(corners, options).path.read_bytes()

    usual, clock = fitted("usual"), time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: 100_000 * clock())  # a second takes more than a day
    assert fitted("slow") == usual
