"""Searching folders for files: one directory read each, no loops, everything passed over counted."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from headstart.data.dataset import Modality
from headstart.errors import DataError

# By modality, the likelier first: the suffixes that a reader here takes. Sounds: what libsndfile reads.
SUFFIXES: dict[Modality, frozenset[str]] = {
    "image": frozenset(
        (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
    ),
    "sound": frozenset((
        ".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64", ".snd", ".sph",
        ".voc", ".w64", ".wav", ".wave",
    )),
    "text": frozenset((".txt",)),
}  # fmt: skip
# Images and sounds too, which no reader here takes, and what to do about them.
UNREAD_SUFFIXES: dict[Modality, frozenset[str]] = {
    "image": frozenset((".avif", ".heic", ".heif", ".jxl")),
    "sound": frozenset((
        ".3gp", ".aac", ".ac3", ".amr", ".ape", ".m4a", ".m4b", ".mka", ".ra", ".weba", ".webm", ".wma", ".wv",
    )),
}  # fmt: skip
_CONVERT = {"image": "convert them to .png or .jpg", "sound": "convert them to .wav or .flac, with ffmpeg for one"}
_MODALITY = {suffix: modality for modality, suffixes in SUFFIXES.items() for suffix in suffixes}


@dataclass
class Found:
    """What a search met.

    Attributes:
        paths: by modality, every file of it, as strings below the searched folder.
        others: suffix -> how many files of kinds that are not read.
        hidden: files and folders with a name that begins with a dot.
        dangling: links that lead nowhere, and what is neither a file nor a folder; see `why_not_a_file`.
        loops: links back to a folder already searched, or above.
    """

    paths: dict[Modality, list[str]] = field(default_factory=lambda: {modality: [] for modality in SUFFIXES})
    others: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    dangling: list[str] = field(default_factory=list)
    loops: int = 0

    def notes(self) -> list[str]:
        """What was passed over, one sentence a kind."""
        out = []
        if self.others:
            kinds = ", ".join(f"{suffix} ({count})" for suffix, count in sorted(self.others.items()))
            out.append(f"{_files(self.others.total())} of other kinds passed over: {kinds}")
            out += unread_notes(self.others)
        if self.hidden:
            out.append(f"{self.hidden} hidden {'entry' if self.hidden == 1 else 'entries'} passed over")
        if self.loops:
            out.append(
                f"{self.loops} link{'s' if self.loops > 1 else ''} back to a folder already searched not followed"
            )
        return out


def search(folder: str, found: Found, root: str | None = None) -> Found:
    """Add every file below `folder` to `found`, following links to folders once each.

    Files are told apart by name only: one directory read and no stat a file, so 50,000 take a fraction of a second.

    Args:
        root: a folder not to enter again: a link in a class to the folder of all classes is a loop.

    Raises:
        DataError: a folder cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    if root is not None:
        _enter(root, seen)
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        if not _enter(here, seen):
            found.loops += 1
            continue
        for entry in entries(here):
            if entry.name.startswith("."):
                found.hidden += 1
            elif entry.is_dir():
                if entry.is_symlink() and _leads_up(entry.path):
                    found.loops += 1
                else:
                    waiting.append(entry.path)
            else:
                _file(entry, found)
    return found


def entries(folder: str) -> Iterator[os.DirEntry[str]]:
    """The entries of one folder.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with os.scandir(folder) as scan:
            yield from scan
    except OSError as failed:
        raise DataError(f"folder {folder} cannot be read: {failed.strerror or failed}") from None


def is_folder(path: Path) -> bool:
    """True for a folder.

    Raises:
        DataError: it cannot be told, because a folder above cannot be entered.
    """
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except PermissionError as failed:
        raise DataError(f"{path} cannot be read: {failed.strerror}") from None
    except (OSError, ValueError):  # absent, or a text that no file can be named
        return False


def why_not_a_file(path: str) -> str:
    """Why something with a file's name is none."""
    return "not a file, but a pipe or a device" if os.path.exists(path) else "a link that leads nowhere"


def unread_notes(suffixes: Iterable[str]) -> list[str]:
    """What is said where some of these are of images or sounds that no reader here takes."""
    there = set(suffixes)
    unread = {modality: sorted(known & there) for modality, known in UNREAD_SUFFIXES.items()}
    return [
        f"{', '.join(some)} {modality}s cannot be read here: {_CONVERT[modality]}"
        for modality, some in unread.items()
        if some
    ]


def count_of(count: int, modality: Modality) -> str:
    """ "1 image file", "3 sound files"."""
    return f"{count} {modality} file{'' if count == 1 else 's'}"


def readable(name: str) -> str:
    """A file name that can be printed: bytes that are not UTF-8 become \\xNN."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    return name


def _enter(folder: str, seen: set[tuple[int, int]]) -> bool:
    try:
        status = os.stat(folder)
    except OSError as failed:
        raise DataError(f"folder {folder} cannot be read: {failed.strerror or failed}") from None
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        return False
    seen.add(identity)
    return True


def _leads_up(link: str) -> bool:
    """True for a link to a folder that it lies in, the folder that is searched or not."""
    target = os.path.realpath(link)
    return os.path.commonpath([target, os.path.realpath(os.path.dirname(link))]) == target


def _file(entry: os.DirEntry[str], found: Found) -> None:
    suffix = os.path.splitext(entry.name)[1].lower()
    modality = _MODALITY.get(suffix)
    if modality is None:
        found.others[suffix or "no extension"] += 1
    elif entry.is_file():
        found.paths[modality].append(entry.path)
    else:
        found.dangling.append(entry.path)


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
