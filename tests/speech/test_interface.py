"""`hs.fit(..., task="transcribe")`: the options go to the fit of recognisers, and what it wrote is loaded."""

from __future__ import annotations

import pytest

import headstart as hs
from headstart.errors import OptionError
from headstart.sources.base import TrainedOn
from headstart.speech.artefact import write
from headstart.speech.transcriber import Transcriber
from headstart.workflow.result import FitResult

FIT = {
    "name": "x", "strategy": "untouched", "language": "en", "beam": 1, "seed": 0, "data": TrainedOn("x", 1, 0),
    "versions": {},
}  # fmt: skip


def test_fit_gives_the_transcriber_that_was_written(small, tmp_path, monkeypatch) -> None:
    asked = []

    def transcribe(data, options, progress):
        asked.append((data, options.source, options.language, options.out))
        write(options.out, small, FIT, {})
        return FitResult({"n": 7}, options.out, None)

    monkeypatch.setattr("headstart.interface.transcribe", transcribe)
    out = tmp_path / "x.headstart"
    model = hs.fit("calls.csv", task="transcribe", source="whisper_base", language="es", out=str(out))
    assert asked == [("calls.csv", "whisper_base", "es", out)]
    assert isinstance(model, Transcriber)
    assert model.evidence == {"n": 7}


def test_options_of_other_fits_are_refused(tmp_path) -> None:
    with pytest.raises(OptionError, match=r"unknown options: 'langauge' .did you mean 'language'"):
        hs.fit("calls.csv", task="transcribe", langauge="es")
    with pytest.raises(OptionError, match="'modality'"):
        hs.fit("calls.csv", task="transcribe", modality="sound")
