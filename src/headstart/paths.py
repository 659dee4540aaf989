"""Where headstart keeps what it may rebuild: HEADSTART_HOME, or the user's cache folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def home() -> Path:
    """The root of all caches: $HEADSTART_HOME, else the platform's user cache folder. Not created."""
    override = os.environ.get("HEADSTART_HOME")
    if override:
        return Path(override).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "headstart"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "headstart"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "headstart"


def sources_dir() -> Path:
    """Exported sources, one folder each."""
    return home() / "sources"


def features_dir() -> Path:
    """The feature cache."""
    return home() / "features"


def trainings_dir() -> Path:
    """What trainings keep between runs, one folder a data set and source."""
    return home() / "trainings"


def engines_file() -> Path:
    """The remembered engine choices of this machine."""
    return home() / "engines.json"


def samples_dir() -> Path:
    """Sample data sets laid out for use."""
    return home() / "samples"
