"""What the cells of a column look like, by a sample of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from headstart.data.cells import Cell, is_missing_word, number_share
from headstart.data.dataset import FILES, Modality
from headstart.data.locate import is_url
from headstart.data.search import SUFFIXES, UNREAD_SUFFIXES

SAMPLE = 2_000  # cells looked at to tell what a column holds
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}([./])\d{1,2}\2(\d{4}|\d\d)( .*)?")
MOST = 0.8  # the share of names of files from which on a column is one of files


def sample(cells: Sequence[Cell]) -> Sequence[Cell]:
    """Up to twice SAMPLE cells, evenly from all."""
    return cells[:: max(1, len(cells) // SAMPLE)]


def file_share(cells: Sequence[Cell], modality: Modality) -> float:
    """The share of names of images, or of sounds, among the cells that are not missing; those not read here too."""
    suffixes = SUFFIXES[modality] | UNREAD_SUFFIXES[modality]
    there = [cell for cell in cells if not is_missing_word(cell)]
    named = sum(isinstance(cell, str) and _suffix(cell) in suffixes for cell in there)
    return named / len(there) if there else 0.0


def files_of(cells: Sequence[Cell], share: float = MOST) -> Modality | None:
    """The modality of the files that at least `share` of the cells name, or None."""
    return next((modality for modality in FILES if file_share(cells, modality) >= share), None)


def is_strings(cells: Sequence[Cell]) -> bool:
    """True where strings stand there that are not numbers."""
    seen = sample(cells)
    return any(isinstance(cell, str) for cell in seen) and number_share(seen) < 0.95


def names_rows(cells: Sequence[Cell]) -> bool:
    """True for strings that are dates, or another in each of more than ten rows: hardly what is to be predicted."""
    seen = [cell for cell in sample(cells) if not is_missing_word(cell)]
    if not is_strings(cells) or not all(isinstance(cell, str) for cell in seen):
        return False
    return (len(seen) > 10 and len(set(seen)) == len(seen)) or all(_DATE.fullmatch(cell.strip()) for cell in seen)


def is_flags(cells: Sequence[Cell]) -> bool:
    """True where nothing but 0 and 1 stands there, and both."""
    return {str(cell).strip() for cell in sample(cells)} == {"0", "1"}


def words(cells: Sequence[Cell]) -> float:
    """Mean words a string."""
    seen = [cell for cell in sample(cells) if isinstance(cell, str)]
    return sum(len(cell.split()) for cell in seen) / max(len(seen), 1)


def _suffix(name: str) -> str:
    """The suffix of a file's name, or of a URL without its query: such a column is to be refused as one of images."""
    path = name.partition("?")[0].partition("#")[0] if is_url(name) else name
    return os.path.splitext(path.strip())[1].lower()
