"""What the card of a .headstart file says of the first source in it, whoever wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from headstart.archive.container import Archive
from headstart.archive.names import CARD, REPORT
from headstart.errors import SourceError
from headstart.sources.base import Ancestor, Modality, SourceInput, Tap, TrainedOn
from headstart.sources.files import Fields
from headstart.sources.input_record import read_input
from headstart.sources.lineage import read_lineage
from headstart.sources.record import read_taps

_MOST_VIEWS = 64


@dataclass(frozen=True)
class CardedView:
    """The first view of a model that is a pretrained graph.

    Attributes:
        position: among the model's views.
        source: the name of what it was made from.
        taps: what the graph yields, shallow first.
        lineage: the model's ancestors, itself not among them.
    """

    position: int
    modality: Modality
    source: str
    licence: str
    input: SourceInput
    taps: tuple[Tap, ...]
    strategy: str
    trained_on: TrainedOn
    lineage: tuple[Ancestor, ...]


def read_card(archive: Archive) -> CardedView:
    """The first source view of a model.

    Raises:
        SourceError: there is none, or the card or the report is not as fit writes it.
        ArtefactError: a part is missing.
    """
    card = _object(archive, CARD)
    fields = Fields(card, CARD)
    views = fields.mappings("views", most=_MOST_VIEWS)
    fields.finish(others=True)
    position = next((k for k, view in enumerate(views) if view.get("kind") == "source"), None)
    if position is None:
        raise SourceError("it was learned without a pretrained source: nothing to transfer")
    view = Fields(views[position], f"{CARD}: view {position}")
    modality: Modality = fields.text("modality", choices=get_args(Modality))  # type: ignore[assignment]
    described = Fields(view.mapping("input"), f"{CARD}: input")
    carded = CardedView(
        position=position,
        modality=modality,
        source=view.text("source", longest=1000),
        licence=view.text("licence", longest=1000),
        input=read_input(described, modality),
        taps=_taps(view, older="kept" not in views[position]),
        strategy=_strategy(archive),
        trained_on=_trained_on(card, fields),
        lineage=read_lineage(card.get("lineage", []), CARD),
    )
    described.text("kind", choices=(modality,))
    for one in (described, view, fields):
        one.finish(others=True)
    return carded


def _object(archive: Archive, part: str) -> dict[str, object]:
    value = archive.json(part)
    if not isinstance(value, dict):
        raise SourceError(f"{part} is not an object")
    return value


def _taps(view: Fields, *, older: bool) -> tuple[Tap, ...]:
    """Those the graph yields, sorted by depth; older files hold the taps in use and no others."""
    taps = read_taps(view, "taps" if older else "kept", CARD)
    if len({tap.name for tap in taps}) < len(taps):
        raise SourceError(f"{CARD}: a tap is named twice")
    return tuple(sorted(taps, key=lambda tap: tap.depth))


def _strategy(archive: Archive) -> str:
    chosen = Fields(Fields(_object(archive, REPORT), REPORT).mapping("chosen", {}), f"{REPORT}: chosen")
    strategy = chosen.text("strategy", longest=1000)
    chosen.finish(others=True)
    return strategy


def _trained_on(card: dict[str, object], fields: Fields) -> TrainedOn:
    data = Fields(fields.mapping("data"), f"{CARD}: data")
    classes = card.get("classes")
    trained_on = TrainedOn(
        name=data.text("name", longest=1000),
        n=data.integer("n", low=0, high=1 << 48),
        classes=len(classes) if isinstance(classes, list) else 0,
    )
    data.finish(others=True)
    return trained_on
