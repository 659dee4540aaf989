"""All that is kept on disk to be found again, of every kind: what it takes, and how it is cleared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from headstart import paths
from headstart.adapt import activations
from headstart.errors import OptionError, StorageError
from headstart.features import spaces
from headstart.sources import exported
from headstart.workflow import trainings

KINDS = ("features", "activations", "trainings", "sources")
BOUNDED = KINDS[:3]
"""What HEADSTART_CACHE_BYTES bounds, and what is cleared unless something is named."""


@dataclass(frozen=True)
class Kept:
    """One line of what is kept.

    Attributes:
        kind: one of KINDS.
        name: by which it can be cleared.
        of: what it is of, for people.
        items: rows, segments or files, by kind.
        last_used: in seconds since 1970, 0 where it is not known.
    """

    kind: str
    name: str
    of: str
    items: int
    bytes: int
    last_used: float


@dataclass(frozen=True)
class Cleared:
    """What clearing freed: bytes by kind; and the sources that a running process uses, which stay."""

    kinds: dict[str, int]
    in_use: tuple[str, ...] = ()

    @property
    def freed(self) -> int:
        """Bytes of all kinds."""
        return sum(self.kinds.values())


def kept() -> list[Kept]:
    """All of it, in the order of KINDS, of a kind the largest first."""
    found = [Kept("features", one.space, one.source, one.items, one.bytes, one.last_used) for one in spaces.usage()]
    held = activations.usage()
    if held.segments:
        of = f"{held.spaces} frozen trunk{'s' if held.spaces > 1 else ''}"
        found.append(Kept("activations", "activations", of, held.segments, held.bytes, held.last_used))
    for one in trainings.usage():
        found.append(Kept("trainings", one.name, one.name.rpartition("-")[0], one.files, one.bytes, one.last_used))
    for source in exported.usage():
        found.append(Kept("sources", source.directory, source.source, 1, source.bytes, source.last_used))
    return found


def clear(names: Sequence[str] = ()) -> Cleared:
    """Remove kinds or single lines by their names; without any, what HEADSTART_CACHE_BYTES bounds.

    A fit that runs goes on: what it needs again it computes again, and a source that it reads stays.

    Raises:
        OptionError: something has neither a kind's nor a line's name.
        StorageError: what is to go lies in a folder that this user may not write.
    """
    lines = kept()
    known = {*KINDS, *(line.name for line in lines)}
    unknown = [name for name in names if name not in known]
    if unknown:
        there = ", ".join(line.name for line in lines if line.name not in KINDS) or "nothing"
        raise OptionError(f"nothing is kept as {unknown[0]!r}: give {', '.join(KINDS)}, or a name (of {there})")
    for kind in sorted({line.kind for line in lines if line.name in names or line.kind in (names or BOUNDED)}):
        if not os.access(paths.home() / kind, os.W_OK):
            raise StorageError(
                f"{paths.home() / kind} cannot be written, so nothing was cleared: its owner can clear it"
            )
    freed: dict[str, int] = {}
    in_use: list[str] = []
    for kind in KINDS:
        whole = kind in (names or BOUNDED)
        for name in [None] if whole else [line.name for line in lines if line.kind == kind and line.name in names]:
            cleared = _clear(kind, name)
            freed[kind] = freed.get(kind, 0) + cleared.bytes
            in_use += cleared.in_use
    return Cleared(freed, tuple(in_use))


def _clear(kind: str, name: str | None) -> exported.Cleared:
    """One line of a kind, or all."""
    if kind == "sources":
        return exported.clear(name)
    if kind == "activations":
        return exported.Cleared(activations.clear(), ())
    return exported.Cleared(spaces.clear(name) if kind == "features" else trainings.clear(name), ())
