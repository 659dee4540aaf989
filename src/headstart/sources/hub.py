"""Models by hub name: the files of a repository, from the hub's local cache or downloaded into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from headstart.errors import SourceError
from headstart.optional import require


def fetch(repository: str, patterns: Sequence[str], pickles: Sequence[str], lacks: Callable[[Path], str]) -> Path:
    """A folder with the files of `repository` ("ORG/NAME") that match `patterns`.

    A copy in the hub's local cache that lacks nothing is used as it is, without a look at the network; so a model stays
    the one it was first, and works offline from then on. What an interrupted download left out is downloaded now.

    Args:
        pickles: patterns of weights that are downloaded only where there are none as safetensors.
        lacks: the name of a file that a folder lacks to be exported, empty for none.

    Raises:
        SourceError: no such repository, or the hub cannot be reached; the message has the offline alternative.
        MissingLayerError: huggingface_hub is not installed.
    """
    hub = require("huggingface_hub", "torch", f"source {repository!r}")
    partial = ""
    try:
        folder = Path(hub.snapshot_download(repository, allow_patterns=list(patterns), local_files_only=True))
        missing = lacks(folder)
        if not missing:
            return folder
        partial = f"; the copy in {folder} lacks {missing}" if any(folder.iterdir()) else ""
    except Exception:  # noqa: S110 - not in the cache, in one of several ways of saying so: ask the hub
        pass
    try:
        folder = Path(hub.snapshot_download(repository, allow_patterns=list(patterns), etag_timeout=10))
        if lacks(folder) and not any(folder.rglob("*.safetensors")):
            hub.snapshot_download(repository, allow_patterns=[*patterns, *pickles], etag_timeout=10)
        return folder
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise SourceError(
            f"{repository!r} cannot be had from the model hub ({type(error).__name__}: {reason}){partial}; offline: "
            f"run `hf download {repository} --local-dir FOLDER` on a connected machine and give FOLDER, "
            "or use a bundled source (headstart sources)"
        ) from error


def versions(*distributions: str) -> str:
    """The installed versions, for a provider's key; reads metadata only, imports nothing."""
    return " ".join(f"{name} {_version(name)}" for name in distributions)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"
