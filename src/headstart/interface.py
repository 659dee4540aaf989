"""The Python face: `hs.fit` and `hs.curve` with keywords."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, overload

from headstart.errors import OptionError
from headstart.model.model import Model
from headstart.progress import SILENT, Progress
from headstart.speech.transcriber import Transcriber
from headstart.workflow import CurveOptions, FitOptions
from headstart.workflow import curve as run_curve
from headstart.workflow import fit as run
from headstart.workflow.saved import load
from headstart.workflow.transcription import transcribe
from headstart.workflow.transcription_options import TranscriptionOptions


@overload
def fit(data: Any, *, progress: Progress = ..., task: Literal["transcribe"], **options: Any) -> Transcriber: ...
@overload
def fit(data: Any, *, progress: Progress = ..., **options: Any) -> Model: ...
def fit(data: Any, *, progress: Progress = SILENT, **options: Any) -> Model | Transcriber:
    """Learn from labelled data and prove what transfer brought.

    Args:
        data: a folder of class folders, a table file, or a DataFrame.
        progress: who is told of long work; silent by default.
        options: the fields of `headstart.workflow.FitOptions`: out, source (a name or several), strategy, budget
            (seconds), modality, task, input, label (a column, or several of 0 and 1), group, time, seed, balance,
            cache. With task "transcribe" those of `headstart.workflow.transcription_options.TranscriptionOptions`: out,
            source, language, strategy, budget, input, label, group, seed.

    Returns:
        The model, loaded from the artefact that the fit wrote; `model.save(path)` keeps it.

    Raises:
        InputError: the data, an option or a source cannot be used.

    Examples:
        >>> model = fit("birds/")  # doctest: +SKIP
        >>> model.predict(["new.jpg"])[0]["label"]  # doctest: +SKIP
        'wren'
    """
    if options.get("task") == "transcribe":
        rest = {name: value for name, value in options.items() if name != "task"}
        result = transcribe(data, TranscriptionOptions(**_checked(TranscriptionOptions, rest)), progress)
    else:
        result = run(data, FitOptions(**_checked(FitOptions, options)), progress)
    model = load(result.path)
    model.report = result.report
    model.owners += (result,)
    return model


def curve(data: Any, *, progress: Progress = SILENT, **options: Any) -> dict[str, Any]:
    """Score ever more labels with and without transfer: the learning curves, and how many labels transfer saves.

    Args:
        data: a folder of class folders, a table file, or a DataFrame.
        progress: who is told of long work; silent by default.
        options: the fields of `headstart.workflow.CurveOptions`: out (an .svg), source (a name or several), strategy,
            shots, draws, test, modality, task, input, label, group, seed, cache.

    Returns:
        The JSON document of `headstart curve --json`: curves, each with its points, and saved, each with its interval.

    Raises:
        InputError: the data, an option or a source cannot be used.

    Examples:
        >>> curve("birds/", out="birds.svg")["saved"][0]["value"]  # doctest: +SKIP
        12.3
    """
    return run_curve(data, CurveOptions(**_checked(CurveOptions, options)), progress)


def _checked(kind: type[Any], options: dict[str, Any]) -> dict[str, Any]:
    """Keywords as the fields of an options class have them.

    Raises:
        OptionError: one that is unknown, or of another type.
    """
    known = [field.name for field in fields(kind)]
    for singular, plural in (("source", "sources"), ("strategy", "strategies")):
        if singular in options and plural in known:
            options[plural] = _several(singular, options.pop(singular))
    unknown = [name for name in options if name not in known]
    if unknown:
        near = [f"{name!r} (did you mean {hit!r}?)" for name in unknown for hit in get_close_matches(name, known, n=1)]
        raise OptionError(f"unknown options: {', '.join(near or map(repr, unknown))}; there are {', '.join(known)}")
    if options.get("out") is not None:
        options["out"] = _path(options["out"])
    for role in ("input", "label", "group", "time"):
        if options.get(role) is not None:
            options[role] = _column(role, options[role])
    return options


def _several(option: str, given: Any) -> tuple[str, ...]:
    """A name, several, or None, as a tuple."""
    if given is None:
        return ()
    names = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    if not all(isinstance(name, (str, os.PathLike)) for name in names):
        raise OptionError(f"{option} {given!r}: expected a name, or several in a list")
    return tuple(os.fspath(name) for name in names)


def _path(given: Any) -> Path:
    if not isinstance(given, (str, os.PathLike)) or given == "":
        raise OptionError(f"out {given!r}: expected the name of a file to write")
    return Path(os.path.expanduser(given))


def _column(role: str, given: Any) -> str:
    """A column's name as a string, since DataFrames may have others; several labels are joined by commas."""
    if not isinstance(given, (list, tuple)) or role != "label":
        return str(given)
    names = [str(name) for name in given]
    if len(names) > 1 and any("," in name for name in names):
        raise OptionError(f"label {given!r}: commas part label columns, so rename the one with a comma in its name")
    return ",".join(names)
