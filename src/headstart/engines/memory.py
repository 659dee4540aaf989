"""The remembered engine choices of this machine: one JSON file, read and written without importing an engine."""

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, get_args

from headstart import paths, registry
from headstart.engines.base import Precision
from headstart.engines.processor import gpu_present, processor
from headstart.sources.base import Source

FORMAT = 1
_LARGEST = 1_000_000  # bytes; a larger file is not ours
_MOST = 500  # choices kept, the newest
_RUNTIMES = ("onnxruntime", "openvino", "torch")


@dataclass(frozen=True)
class Choice:
    """How to run a source here.

    Attributes:
        engine: a registered name.
        precision: fp32, bf16 or int8.
        threads: of the engine, in each call.
        workers: threads that should call the session side by side.
        items_per_second: of all workers together, on the probe.
    """

    engine: str
    precision: Precision
    threads: int
    workers: int
    items_per_second: float


def key(source: Source) -> str:
    """What a choice holds for: this source on this processor with these versions of the runtimes."""
    here = processor()
    gpu = "gpu" if gpu_present() else "no gpu"
    native = f"bf16 {here.bf16}, int8 {here.int8}"  # clouds give processors of several generations one name
    versions = [f"{name} {_version(name)}" for name in _RUNTIMES]
    return " | ".join(
        [
            source.fingerprint,
            here.name,
            f"{here.cores} cores",
            native,
            gpu,
            *versions,
            *registry.names("headstart.engines"),
        ]
    )


def recall(source: Source) -> Choice | None:
    """The remembered choice, or None; a damaged file counts as empty."""
    return _choice(_read().get(key(source)))


def remember(source: Source, choice: Choice) -> None:
    """Add a choice to the file, atomically. Two processes that do so at once lose one of them, never the file.

    Raises:
        OSError: the file cannot be written.
    """
    _write(_others(source) | {key(source): asdict(choice)})


def forget(source: Source) -> None:
    """Remove the choice of a source, if there is one.

    Raises:
        OSError: the file cannot be written.
    """
    if key(source) in _read():
        _write(_others(source))


def _others(source: Source) -> dict[str, Any]:
    """The newest choices of other sources."""
    choices = {name: value for name, value in _read().items() if name != key(source) and _choice(value)}
    return dict(list(choices.items())[-(_MOST - 1) :])


def _write(choices: dict[str, Any]) -> None:
    file = paths.engines_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".engines-", dir=file.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump({"format": FORMAT, "choices": choices}, out, indent=1)
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


def _read() -> dict[str, Any]:
    file = paths.engines_file()
    try:
        if file.stat().st_size > _LARGEST:
            return {}
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return {}
    choices = document.get("choices")
    return choices if isinstance(choices, dict) else {}


def _choice(value: Any) -> Choice | None:
    """A choice as it was written, or None for anything else."""
    try:
        found = Choice(**value)
    except TypeError:
        return None
    counts = all(type(number) is int and 1 <= number <= 4096 for number in (found.threads, found.workers))
    named = isinstance(found.engine, str) and found.engine in registry.names("headstart.engines")
    named = named and found.precision in get_args(Precision)
    speed = isinstance(found.items_per_second, (int, float)) and math.isfinite(found.items_per_second)
    return found if counts and named and speed else None


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"
