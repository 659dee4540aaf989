"""What every model has that was loaded from a .headstart file."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from headstart.model.origin import Origin
from headstart.model.temporary import TemporaryFolder


class Loaded(ABC):
    """A model of any kind.

    Attributes:
        report: the evidence of its fit, as `headstart fit --json` gives it (without wall-clock times).
        origin: the artefact it was loaded from.
        owners: what must last as long as it does.
    """

    report: dict[str, Any]
    origin: Origin
    owners: tuple[Any, ...]

    @staticmethod
    @abstractmethod
    def opened(path: Path) -> Any:
        """The model of this kind in a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, and copied, as the artefact's bytes: files and engines are opened again from them."""
        return _restored, (type(self), b"".join(self.origin.blocks()), self.report)

    @property
    def path(self) -> Path:
        """The artefact it was loaded from."""
        return self.origin.path

    @property
    def evidence(self) -> dict[str, Any]:
        """Every number of the fit's report, with intervals: candidates, baseline, verdict."""
        return self.report

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the artefact to `path`, whole or not at all.

        Raises:
            StorageError: the disk is full, the folder cannot be written, or there is a device or a pipe.
        """
        return self.origin.copy(Path(path))


def _restored(kind: type[Loaded], content: bytes, report: dict[str, Any]) -> Loaded:
    """A model from the bytes of its artefact, which the new one keeps in a folder of its own."""
    folder = TemporaryFolder()
    path = folder.path / "model.headstart"
    path.write_bytes(content)
    model: Loaded = kind.opened(path)
    model.report = report
    model.owners += (folder,)
    return model
