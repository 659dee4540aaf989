"""A recogniser as a .headstart file: what it holds, and both ways between that and a checkpoint.

    transcriber.json         TranscriberCard: settings, language, descent, what it was fitted on
    transcriber.safetensors  the weights in float16, under CTranslate2's names
    tokenizer.json           of the `tokenizers` library
    report.json              the evidence of the fit, without wall-clock times

Nothing in it is code. A model.bin for CTranslate2 is written anew from weights that have been checked, so that no file
can bring one of its own. The same weights, card and report give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from headstart.archive.container import Archive, open_archive, write_archive
from headstart.archive.members import read_members
from headstart.archive.names import REPORT
from headstart.errors import ArtefactError, OptionError, SourceError
from headstart.sources.base import TOKENIZER_FILE, Ancestor, TrainedOn
from headstart.sources.files import JSON_LIMIT, Fields, sha256_of
from headstart.sources.lineage import LONGEST, read_lineage, read_trained_on
from headstart.speech.checkpoint import Checkpoint, Settings, checked, halved, token_ids

CARD = "transcriber.json"
WEIGHTS = "transcriber.safetensors"
_MOST_BEAM = 64


@dataclass(frozen=True)
class TranscriberCard:
    """transcriber.json.

    Attributes:
        source: the recogniser that it was made from.
        strategy: how; "untouched" where no weight was moved.
        language: of what it was fitted on, and of what it hears where no other is named.
        beam: hypotheses kept, as in the evidence.
        data: what it was fitted on.
        input, label: the table columns that held paths and transcripts, or None.
        versions: of headstart and the libraries that computed it.
        lineage: what it was made from, nearest first.
    """

    name: str
    source: str
    origin: str
    licence: str
    strategy: str
    language: str
    beam: int
    seed: int
    data: TrainedOn
    settings: Settings
    versions: Mapping[str, str]
    lineage: tuple[Ancestor, ...]
    input: str | None = None
    label: str | None = None

    def json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"kind": "transcriber", "modality": "speech", "task": "transcribe", **asdict(self)}


def write(path: Path, checkpoint: Checkpoint, card: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Write a recogniser as an artefact; its weights in float16.

    Args:
        card: the TranscriberCard fields that the fit knows: name, strategy, language, beam, seed, data, versions,
            input, label. The others are the checkpoint's.
        report: the evidence, without wall-clock times.

    Raises:
        SourceError: a weight is too large for float16.
        StorageError: the disk is full or the folder cannot be written.
    """
    from safetensors.numpy import save

    small = halved(checkpoint)
    whole = TranscriberCard(
        **card, source=small.name, origin=small.origin, licence=small.licence, settings=small.settings,
        lineage=small.lineage[:LONGEST],
    )  # fmt: skip
    write_archive(
        path,
        {
            CARD: _json(whole.json()),
            REPORT: _json(report),
            WEIGHTS: save({name: small.weights[name] for name in sorted(small.weights)}),
            TOKENIZER_FILE: small.tokenizer,
        },
    )


@dataclass(frozen=True, eq=False)
class Saved:
    """What an artefact holds, checked."""

    card: TranscriberCard
    report: dict[str, Any]
    checkpoint: Checkpoint


def holds_transcriber(path: Path) -> bool:
    """True for a .headstart file with a recogniser, by the names of its parts; False for whatever else is there."""
    try:
        with path.open("rb") as file:
            return CARD in read_members(file)
    except (OSError, ValueError, ArtefactError):
        return False


def read(path: Path) -> Saved:
    """A recogniser from its artefact; every part is checked against its hash, every weight against the others.

    Raises:
        ArtefactError: the file is missing, damaged, hostile, from a later version, or a model of another kind.
    """
    with open_archive(path) as archive:
        if CARD not in archive.names:
            raise ArtefactError(f"{path} is no recogniser but a model of another kind: give one that hears speech")
        try:
            return _read(archive, path)
        except (SourceError, OptionError) as error:
            raise ArtefactError(f"{path}: {error}: damaged file") from None


def read_checkpoint(path: Path) -> Checkpoint:
    """The recogniser of an artefact as what the next fit starts from; it is the first of its lineage.

    Raises:
        ArtefactError: as `read`.
    """
    saved = read(path)
    card, origin = saved.card, f"{path.name}, from {saved.card.source}"
    own = Ancestor(path.stem, sha256_of(path), origin, card.licence, card.strategy, card.data)
    return replace(saved.checkpoint, name=path.stem, origin=origin, lineage=(own, *card.lineage)[:LONGEST])


def _read(archive: Archive, path: Path) -> Saved:
    card = _parse(archive.json(CARD))
    report = archive.json(REPORT)
    if not isinstance(report, dict):
        raise ArtefactError(f"{path}: {REPORT} is not an object: damaged file")
    tokenizer = archive.bytes(TOKENIZER_FILE)
    if len(tokenizer) > JSON_LIMIT:
        raise ArtefactError(f"{path}: {TOKENIZER_FILE} has more than {JSON_LIMIT:,} bytes: damaged file")
    checkpoint = Checkpoint(
        name=card.name,
        weights=archive.arrays(WEIGHTS),
        settings=card.settings,
        tokenizer=tokenizer,
        licence=card.licence,
        origin=card.origin,
        lineage=card.lineage,
    )
    checked(checkpoint).tokens.check_language(card.language)
    return Saved(card, report, checkpoint)


def _parse(value: Any) -> TranscriberCard:
    """The card from JSON that may be anything.

    Raises:
        SourceError: it is none.
    """
    if not isinstance(value, dict):
        raise SourceError(f"{CARD} is not an object")
    fields = Fields(value, CARD)
    texts = {key: fields.text(key, longest=1000) for key in ("name", "source", "origin", "licence", "strategy")}
    columns = {key: fields.text(key, longest=1000) for key in ("input", "label") if value.get(key) is not None}
    fields.text("kind", choices=("transcriber",))
    card = TranscriberCard(
        **texts,
        **columns,
        language=fields.text("language", longest=8),
        beam=fields.integer("beam", low=1, high=_MOST_BEAM),
        seed=fields.integer("seed", low=0, high=1 << 63),
        data=read_trained_on(fields.mapping("data"), f"{CARD}: data"),
        settings=_settings(fields.mapping("settings")),
        versions={str(key): str(version)[:100] for key, version in fields.mapping("versions").items()},
        lineage=read_lineage(value.get("lineage"), CARD),
    )
    fields.finish(others=True)
    return card


def _settings(value: Mapping[str, object]) -> Settings:
    fields = Fields(value, f"{CARD}: settings")
    heads = fields.integer("heads", low=1, high=64)
    fields.finish(others=True)
    multilingual = value.get("multilingual")
    if not isinstance(multilingual, bool):
        raise SourceError(f"{CARD}: settings: 'multilingual' is {str(multilingual)[:60]!r}; it must be true or false")
    lists = (token_ids(value.get(key), f"{CARD}: settings: {key!r}") for key in ("suppress", "suppress_first"))
    return Settings(heads, multilingual, *lists)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False).encode()
