"""The file that a name in a table means, as people write names: from Windows, from home, as a file: address."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.request import url2pathname

_URL = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_FILE = re.compile(r"file:(?://(?:localhost)?(?=/))?(?P<path>.+)", re.IGNORECASE)


def find_file(name: str, folder: Path) -> Path | None:
    """The file, or None: as written first, then as `readings` gives it.

    Args:
        folder: what a relative name starts from.
    """
    as_written = folder / name
    if os.path.isfile(as_written):
        return as_written
    return next((path for path in readings(name, folder) if os.path.isfile(path)), None)


def readings(name: str, folder: Path) -> list[Path]:
    """What else a name may mean, the freest reading last: without spaces around, ~ as home, \\ as /."""
    plain = name.strip()
    address = _FILE.fullmatch(plain)
    if address:
        return [folder / url2pathname(address["path"])]
    return [folder / os.path.expanduser(plain), folder / os.path.expanduser(plain.replace("\\", "/"))]


def is_url(name: str) -> bool:
    """True for what lies on another machine."""
    return _URL.match(name.strip()) is not None


def why_absent(name: str, folder: Path) -> str:
    """Why `find_file` found nothing."""
    if is_url(name):
        return f"{name.strip()} is a URL: download it first"
    return f"no such file: {readings(name, folder)[-1]}"


def elsewhere(name: str, folder: Path) -> str:
    """Where a file that was not found lies after all, one folder below or with a suffix; "" where it does not."""
    wanted = os.path.basename(name.strip().replace("\\", "/"))
    try:
        for place in [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]:
            for path in place.iterdir():
                if wanted and wanted in (path.name, path.stem) and path.is_file():
                    there = path.relative_to(folder).as_posix()
                    return f"; {there} is there: paths start from the folder of the table, and need their suffix"
    except OSError:  # a folder that cannot be read has no hint
        pass
    return ""
