"""What the descent of a source means for a fit that uses it."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.sources.base import Ancestor, Source

_FROZEN = "frozen"  # the first word of each strategy that moves no weights


def remarks(sources: Sequence[Source], name: str, n: int) -> tuple[str, ...]:
    """What the user should know of sources that a fit made.

    Args:
        name: of the data set that is now learned from.
        n: its items.
    """
    return tuple(dict.fromkeys(line for source in sources for line in _remarks(source, name, n)))


def _remarks(source: Source, name: str, n: int) -> list[str]:
    lines = []
    own, *rest = source.lineage
    if own.strategy is not None and not _moved(own):
        before = rest[0].name if rest else "its own source"
        lines.append(f"{source.name} was fitted with its source frozen: it knows what {before} knows, and no more")
    for ancestor in filter(_moved, source.lineage):
        if ancestor.data is not None and (ancestor.data.name, ancestor.data.n) == (name, n):
            lines.append(
                f"{ancestor.name} learned from data of the same name and size ({name}, {n:,} items): if they are the "
                "same, it has seen these labels, and the figures here flatter"
            )
    return lines


def _moved(ancestor: Ancestor) -> bool:
    """True if its weights are other ones than its source had."""
    return ancestor.strategy is not None and not ancestor.strategy.startswith(_FROZEN)
