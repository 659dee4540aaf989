"""Every error headstart raises on purpose; and `one_line`, for messages and what they quote.

    HeadstartError                exit code 1: something failed here
    ├── EngineError               a graph could not be run on any engine
    ├── StorageError              exit code 2: a disk is full, or a folder cannot be written
    └── InputError                exit code 2: what was given cannot be used
        ├── OptionError           an option's name or value
        ├── DataError             a data set: no classes, a missing column, no labels
        ├── ItemError             one item: a truncated image, an empty text
        ├── SourceError           a pretrained source: unknown name, wrong hash, no hub
        ├── MissingLayerError     an optional package is not installed; names the install line
        └── ArtefactError         a .headstart file: damaged, tampered with, too new

A message is one line and says what was got, what was expected, and what to do.
"""

from __future__ import annotations


class HeadstartError(Exception):
    """Base of every error raised on purpose."""

    exit_code = 1


class EngineError(HeadstartError):
    """A graph could not be run on any engine of this machine."""


class StorageError(HeadstartError):
    """A disk is full, or a folder cannot be written: the user's to mend, like an input."""

    exit_code = 2


class InputError(HeadstartError):
    """What the caller gave cannot be used."""

    exit_code = 2


class OptionError(InputError):
    """An option's name or value is not one that exists."""


class DataError(InputError):
    """A data set cannot be learned from or read as asked."""


class ItemError(InputError):
    """One item cannot be read; the others may be fine."""


class SourceError(InputError):
    """A pretrained source is unknown, incomplete, or not what its hash says."""


class MissingLayerError(InputError):
    """An optional package is needed and absent; the message has the install line."""


class ArtefactError(InputError):
    """A .headstart file is damaged, was tampered with, or is from a later version."""


def one_line(told: object) -> str:
    """What is said, each line break with the blanks about it made one blank; within a line they stay, as in a name."""
    return " ".join(line.strip() for line in str(told).splitlines() if line.strip())
