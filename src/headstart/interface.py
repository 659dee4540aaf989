"""The Python face: `hs.fit` with keywords."""

from __future__ import annotations

from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from headstart.errors import OptionError
from headstart.model.model import Model
from headstart.model.packing import load
from headstart.progress import SILENT, Progress
from headstart.workflow import FitOptions
from headstart.workflow import fit as run


def fit(data: Any, *, progress: Progress = SILENT, **options: Any) -> Model:
    """Learn from labelled data and prove what transfer brought.

    Args:
        data: a folder of class folders, a table file, or a DataFrame.
        progress: who is told of long work; silent by default.
        options: the fields of `headstart.workflow.FitOptions`: out, source (a name or several), strategy, budget
            (seconds), modality, task, input, label, group, time, seed, balance, cache.

    Returns:
        The model, loaded from the artefact that the fit wrote; `model.save(path)` keeps it.

    Raises:
        InputError: the data, an option or a source cannot be used.

    Examples:
        >>> model = fit("birds/")  # doctest: +SKIP
        >>> model.predict(["new.jpg"])[0]["label"]  # doctest: +SKIP
        'wren'
    """
    for singular, plural in (("source", "sources"), ("strategy", "strategies")):
        if singular in options:
            given = options.pop(singular)
            options[plural] = (given,) if isinstance(given, str) else tuple(given)
    known = [field.name for field in fields(FitOptions)]
    unknown = [name for name in options if name not in known]
    if unknown:
        near = [f"{name!r} (did you mean {hit!r}?)" for name in unknown for hit in get_close_matches(name, known, n=1)]
        raise OptionError(f"unknown options: {', '.join(near or map(repr, unknown))}; there are {', '.join(known)}")
    if options.get("out") is not None:
        options["out"] = Path(options["out"])
    result = run(data, FitOptions(**options), progress)
    model = load(result.path)
    model.report = result.report
    model.owners += (result,)
    return model
