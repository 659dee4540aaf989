"""A .headstart file, whatever kind of model it holds."""

from __future__ import annotations

from pathlib import Path

from headstart.model import packing
from headstart.model.model import Model
from headstart.speech import transcriber
from headstart.speech.artefact import holds_transcriber
from headstart.speech.transcriber import Transcriber


def load(path: str | Path) -> Model | Transcriber:
    """Load a model. Nothing in the file is executed; every part is checked against its hash.

    Raises:
        ArtefactError: the file is missing, damaged, hostile, or from a later version.
    """
    path = Path(path)
    return transcriber.load(path) if holds_transcriber(path) else packing.load(path)
