"""Lineage: what a model was made from, and that from what, nearest first; read from files that anybody wrote."""

from __future__ import annotations

from collections.abc import Iterable

from headstart.errors import SourceError
from headstart.sources.base import Ancestor, Source, TrainedOn
from headstart.sources.files import Fields

LONGEST = 64
_LONGEST_TEXT = 1000


def descent(sources: Iterable[Source]) -> tuple[Ancestor, ...]:
    """What a model that uses `sources` was made from: the lineage of the first, then of the others; each once.

    Of a longer descent the first LONGEST: more are not read back.
    """
    return tuple(dict.fromkeys(ancestor for source in sources for ancestor in source.lineage))[:LONGEST]


def read_lineage(value: object, where: str) -> tuple[Ancestor, ...]:
    """The ancestors from JSON that may be anything.

    Args:
        where: what the JSON is part of, for the message.

    Raises:
        SourceError: it is no lineage, or one of more than LONGEST ancestors.
    """
    if not isinstance(value, list) or len(value) > LONGEST or not all(isinstance(one, dict) for one in value):
        raise SourceError(f"{where}: the lineage must be a list of at most {LONGEST} objects")
    return tuple(_read_ancestor(one, f"{where}: lineage") for one in value)


def _read_ancestor(values: dict[str, object], where: str) -> Ancestor:
    fields = Fields(values, where)
    made = values.get("data") is not None
    ancestor = Ancestor(
        name=fields.text("name", longest=_LONGEST_TEXT),
        sha256=fields.text("sha256", longest=64),
        origin=fields.text("origin", longest=_LONGEST_TEXT),
        licence=fields.text("licence", longest=_LONGEST_TEXT),
        strategy=fields.text("strategy", longest=_LONGEST_TEXT) if made else None,
        data=read_trained_on(fields.mapping("data"), f"{where}: data") if made else None,
    )
    fields.finish(others=True)
    return ancestor


def read_trained_on(values: dict[str, object], where: str) -> TrainedOn:
    """The data of a fit from JSON that may be anything.

    Raises:
        SourceError: a key is missing or wrong.
    """
    fields = Fields(values, where)
    trained_on = TrainedOn(
        name=fields.text("name", longest=_LONGEST_TEXT),
        n=fields.integer("n", low=0, high=1 << 48),
        classes=fields.integer("classes", low=0, high=1 << 48),
    )
    fields.finish(others=True)
    return trained_on
