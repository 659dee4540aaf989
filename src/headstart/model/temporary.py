"""A folder that lasts as long as the object that holds it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path


class TemporaryFolder:
    """A new folder, removed when this object is garbage or the process ends.

    Unlike tempfile.TemporaryDirectory it is meant to be let go of, and does so without a ResourceWarning.

    Attributes:
        path: the folder.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="headstart-"))
        self._removal = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
