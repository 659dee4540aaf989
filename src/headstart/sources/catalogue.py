"""The catalogue: every source by name, exported once, then opened in milliseconds.

An exported source is a folder of sources_dir(). It is written beside its final place, flushed to disk, and renamed
there, so that no process ever sees half of one; where two processes export the same source, the first rename wins and
the other uses it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from headstart import registry
from headstart.errors import SourceError, StorageError
from headstart.paths import sources_dir
from headstart.progress import SILENT, Progress
from headstart.sources.base import SOURCE_FILE, Entry, Modality, Provider, Source
from headstart.sources.exported import UNFINISHED, hold
from headstart.sources.record import source_from_directory, write_record

GROUP = "headstart.providers"
_ABANDONED_AFTER = 24 * 3600.0
_STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR}
_FORMS = (
    "timm/NAME, ORG/NAME of a text or sound encoder, a folder with such a model, a FILE.onnx with its FILE.json, or a "
    "FILE.headstart"
)


def entries() -> list[Entry]:
    """Every source that a provider can name, in the order of the providers' names."""
    return [entry for name in registry.names(GROUP) for entry in _provider(name).entries()]


def default_sources(modality: Modality) -> tuple[str, ...]:
    """The installed catalogue name to try where none was asked for: of general use, with the fewest weights.

    Empty for none.
    """
    installed = [one for one in entries() if one.installed and one.modality == modality and not one.special]
    installed.sort(key=lambda entry: (entry.parameters, entry.name))
    return tuple(entry.name for entry in installed[:1])


def modality_of(reference: str) -> Modality | None:
    """What the source that `reference` names reads, told before any export; None where only the export shows.

    Raises:
        SourceError: nothing by that name.
    """
    return _choose(reference)[1].modality(reference)


def open_source(reference: str, *, progress: Progress = SILENT) -> Source:
    """The source that `reference` names, exported now if it is not yet.

    The first provider, by registered name, that accepts the reference has it. A source that was exported before is
    opened from its record; its files are compared by size only (see `record.verify`).

    Raises:
        SourceError: nothing by that name, or its weights are missing or not what their hash says.
        MissingLayerError: the export needs a package that is absent.
        StorageError: the export cannot be written.
    """
    name, provider = _choose(reference)
    key = hashlib.sha256(f"{name}\n{provider.key(reference)}".encode()).hexdigest()[:12]
    final = sources_dir() / f"{_safe(_name(reference))}-{key}"
    hold(final)
    source = _open_exported(final)
    if source is None:
        progress.say(f"exporting {reference}, once")
        source = _export(provider, reference, final)
        hold(final)
    return source


def _choose(reference: str) -> tuple[str, Provider]:
    for name in registry.names(GROUP):
        provider = _provider(name)
        if provider.accepts(reference):
            return name, provider
    known = [entry.name for entry in entries()]
    near = get_close_matches(reference, known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    if os.path.isdir(reference):
        hint = " (the folder is there, but has no config.json with 'model_type' or 'architecture')"
    raise SourceError(f"no source {reference!r}{hint}; there are {', '.join(known)}; or give {_FORMS}")


def _provider(name: str) -> Provider:
    provider: Provider = registry.get(GROUP, name)
    return provider


def _open_exported(final: Path) -> Source | None:
    """The source in `final`, or None where there is none or a damaged one."""
    if not (final / SOURCE_FILE).is_file():
        return None
    try:
        return source_from_directory(final)
    except SourceError:
        return None


def _export(provider: Provider, reference: str, final: Path) -> Source:
    _make(final.parent)
    try:
        _sweep(final.parent)
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=final.parent, ignore_cleanup_errors=True) as scratch:
            directory = Path(scratch) / "export"
            directory.mkdir()
            write_record(provider.export(reference, directory), directory)
            _flush(directory)
            return _file(directory, final)
    except OSError as error:
        if error.errno not in _STORAGE_ERRORS:
            raise SourceError(f"{reference} cannot be exported: {error}") from error
        raise StorageError(
            f"{reference} cannot be exported into {final.parent} ({error.strerror}); "
            "free some space or point HEADSTART_HOME at another disk"
        ) from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # whatever the reason: below /proc it is that nothing is there
        raise StorageError(
            f"the folder {folder} for sources cannot be made ({error.strerror}): "
            "set HEADSTART_HOME to a folder that can be written"
        ) from error


def _file(directory: Path, final: Path) -> Source:
    """Rename a finished export into place, unless another process was first."""
    for _ in range(3):
        try:
            directory.rename(final)
        except OSError:
            source = _open_exported(final)
            if source is not None:
                return source
            if not final.exists():
                raise
            # What is there is damaged: it goes to our scratch folder, which is deleted.
            with contextlib.suppress(FileNotFoundError):
                final.rename(directory.with_name(f"damaged-{time.monotonic_ns()}"))
        else:
            _flush(final.parent, files=False)
            return source_from_directory(final)
    raise SourceError(f"{final} keeps coming back damaged; delete it by hand")


def _flush(directory: Path, *, files: bool = True) -> None:
    """Have the system write a folder, and its files, to disk before going on."""
    paths: Iterable[Path] = [*(directory.iterdir() if files else ()), directory]
    if os.name == "nt":  # folders cannot be opened there
        return
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sweep(folder: Path) -> None:
    """Delete exports that a killed process left unfinished a day ago or earlier."""
    for path in folder.glob(f"{UNFINISHED}*"):
        try:
            abandoned = time.time() - path.stat().st_mtime > _ABANDONED_AFTER
        except FileNotFoundError:
            continue
        if abandoned:
            shutil.rmtree(path, ignore_errors=True)


def _name(reference: str) -> str:
    """What a path ends in, however it is written; or the reference itself."""
    return Path(reference).resolve().name if os.path.exists(reference) else reference


def _safe(reference: str) -> str:
    """A folder name that a person recognises; the key behind it makes it unique."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", reference).strip("._")[-60:] or "source"
