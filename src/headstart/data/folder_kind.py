"""What the files of a folder are: images, sounds or texts; and what is passed over for that."""

from __future__ import annotations

import os
from pathlib import Path

from headstart.data.dataset import Modality
from headstart.data.search import SUFFIXES, Found, count_of, entries
from headstart.errors import DataError


def kind_of(root: Path, found: dict[str, Found], wanted: Modality | None) -> tuple[Modality, list[str]]:
    """The modality of most files, and sentences on what was met.

    Args:
        found: class folder -> what a search of it met; or "" -> what a search of the whole of `root` met.
        wanted: a modality that was asked for, of files or texts.

    Raises:
        DataError: there are no such files.
    """
    counts = {kind: sum(len(one.paths[kind]) for one in found.values()) for kind in SUFFIXES}
    by_folders = "" not in found
    notes = _total(found).notes()
    most: Modality = max(counts, key=lambda kind: counts[kind])  # of as many the first
    modality = wanted or most
    if not counts[modality]:
        kinds = ", ".join(sorted(SUFFIXES[modality])) if wanted else "images, sounds or .txt files"
        hold = "its class folders hold no" if by_folders else "it holds no"
        raise DataError(f"{root} has no items: {hold} {kinds}{'; '.join(['', *notes])}")
    said = [] if wanted else [f"modality {modality}: what the files' names say"]
    said += [
        f"{count_of(count, other)} beside the {modality} files passed over"
        for other, count in counts.items()
        if count and other != modality
    ]
    if by_folders:
        said += _beside(root, found, modality)
    return modality, [*said, *notes]


def loose_items(root: Path) -> str:
    """The items that lie in `root` itself, counted by kind: "3 sound files, 1 text file"; "" for none."""
    counts = dict.fromkeys(SUFFIXES, 0)
    for entry in entries(str(root)):
        suffix = os.path.splitext(entry.name)[1].lower()
        for kind, suffixes in SUFFIXES.items():
            counts[kind] += suffix in suffixes and not entry.name.startswith(".") and not entry.is_dir()
    return ", ".join(count_of(count, kind) for kind, count in counts.items() if count)


def _total(found: dict[str, Found]) -> Found:
    total = Found()
    for one in found.values():
        total.others += one.others
        total.hidden += one.hidden
        total.loops += one.loops
    return total


def _beside(root: Path, found: dict[str, Found], modality: Modality) -> list[str]:
    """Sentences on class folders without items, and on files without a class folder."""
    notes = []
    empty = [name for name, one in found.items() if not one.paths[modality]]
    if empty:
        are = "class folder is" if len(empty) == 1 else "class folders are"
        notes.append(f"{len(empty)} {are} empty and left out: {', '.join(empty[:5])}")
    loose = [entry for entry in entries(str(root)) if not entry.name.startswith(".") and not entry.is_dir()]
    if loose:
        notes.append(f"{len(loose)} file{'s' if len(loose) > 1 else ''} beside the class folders passed over")
    return notes
