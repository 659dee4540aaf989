"""What the parts of an artefact raise where they contradict themselves or each other becomes an ArtefactError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.archive.names import goal
from headstart.errors import ArtefactError, DataError, HeadstartError, one_line

_LONGEST = 200


@contextmanager
def damage(part: str) -> Iterator[None]:
    """Say that `part` is damaged, whatever it raises that is neither meant nor a lack of memory or disk.

    Raises:
        ArtefactError: in place of such an exception, which libraries have of any kind.
    """
    try:
        yield
    except DataError as error:  # features that another part made, of the wrong width
        raise ArtefactError(f"{part} does not fit the rest ({error}): damaged file") from None
    except (HeadstartError, MemoryError, OSError):
        raise
    except Exception as error:
        reason = one_line(error)[:_LONGEST] or type(error).__name__
        raise ArtefactError(f"{part} cannot be read ({reason}): damaged file") from error


@contextmanager
def blame(path: Path) -> Iterator[None]:
    """Name the file in each ArtefactError over what lies in it."""
    try:
        yield
    except ArtefactError as error:
        if str(error).startswith(str(path)):
            raise
        raise ArtefactError(f"{goal(path)}: {error}") from error.__cause__
