"""A recogniser by reference: a bundled name, a name of the hub, a folder, or a .headstart file."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from headstart.errors import SourceError
from headstart.speech.bundled import NAMES, open_bundled
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.pretrained import from_hub, is_repository, read_folder


def open_checkpoint(reference: str) -> Checkpoint:
    """The recogniser that `reference` names.

    Args:
        reference: one of `bundled.NAMES`; a folder that transformers wrote; a .headstart file with a recogniser; or
            ORG/NAME of the hub.

    Raises:
        SourceError: there is none, or it is not what it should be.
        ArtefactError: the .headstart file is damaged or holds no recogniser.
        MissingLayerError: the hub is asked, and huggingface_hub is not installed.
    """
    path = Path(reference)
    if reference in NAMES:
        return open_bundled(reference)
    if reference.lower().endswith(".headstart"):
        from headstart.speech.artefact import read_checkpoint

        return read_checkpoint(path)
    if os.path.isdir(path):
        return read_folder(path, name=path.resolve().name, origin="transformers whisper model, local folder")
    if is_repository(reference):
        return from_hub(reference)
    near = get_close_matches(reference, NAMES, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise SourceError(
        f"no recogniser {reference!r}{hint}; there are {', '.join(NAMES)}; or give ORG/NAME of a Whisper model, a "
        "folder that transformers wrote, or a .headstart file"
    )
