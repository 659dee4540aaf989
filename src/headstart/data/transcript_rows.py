"""What readers of transcribed speech hand over: rows, as they stand there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from headstart.data.dataset import Skipped
from headstart.data.names import NamePart
from headstart.data.search import SUFFIXES, UNREAD_SUFFIXES

# What libsndfile reads, and what people have besides: the second are refused with a reason when they are opened.
SOUND_SUFFIXES = SUFFIXES["sound"] | UNREAD_SUFFIXES["sound"] | {".mp4"}


@dataclass(frozen=True)
class Row:
    """One recording, or what should be one.

    Attributes:
        id: its name.
        path: the file; None where there is none.
        text: as written.
        group: its group's name; "" for none.
        reason: why it cannot be used; "" where it may be.
        file: the file's name as the data have it, which --group NAME=REGEX is searched in.
    """

    id: str
    path: Path | None
    text: str
    group: str = ""
    reason: str = ""
    file: str = ""


@dataclass(frozen=True, eq=False)
class Recorded:
    """All rows of a data set.

    Attributes:
        folder: what relative names start from.
        group: what the groups are, in words; "" where there are none.
        part: what reads the groups off the files' names, instead of the rows' own; or None.
        root: the folder that was given, whose every sound should be among the rows; None for a table.
        bad: rows that could not be read at all.
    """

    name: str
    folder: Path
    rows: tuple[Row, ...]
    group: str = ""
    part: NamePart | None = None
    root: Path | None = None
    bad: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()


def is_sound(name: str) -> bool:
    """True for a name that ends as a sound file's does; hidden files are none."""
    return os.path.splitext(name.strip())[1].lower() in SOUND_SUFFIXES and not os.path.basename(name).startswith(".")
