"""Model to artefact and back: which bytes go in, and how the parts come out again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from headstart import registry
from headstart.archive import names
from headstart.archive.container import Archive, open_archive, write_archive
from headstart.engines.base import Precision
from headstart.engines.memory import Choice
from headstart.errors import ArtefactError, OptionError, SourceError, StorageError
from headstart.evidence.calibration import Calibration
from headstart.heads.base import FittedHead, HeadState
from headstart.model import layout
from headstart.model.damage import blame, damage
from headstart.model.featurisers import (
    Featuriser,
    HogFeaturiser,
    LogmelFeaturiser,
    RowsFeaturiser,
    SourceFeaturiser,
    TfidfFeaturiser,
)
from headstart.model.layout import ModelCard
from headstart.model.model import Model
from headstart.model.origin import Origin
from headstart.model.temporary import TemporaryFolder
from headstart.plan.crossfit import Fitted
from headstart.plan.views import ViewState
from headstart.sources.lineage import descent


def write(
    path: Path, fitted: Fitted, card: Mapping[str, Any], report: Mapping[str, Any], choices: Mapping[str, Choice]
) -> None:
    """Write a fitted candidate as an artefact.

    Args:
        card: the ModelCard fields that the fit knows: name, modality, task, classes, columns, input, data, versions.
        report: the evidence, without wall-clock times.
        choices: source name -> the engine and precision its features were computed in.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    from safetensors.numpy import save as save_arrays

    parts: dict[str, bytes | Path] = {}
    states = fitted.view.states()
    views = [_pack_view(k, state, choices, parts) for k, state in enumerate(states)]
    head = fitted.head.state()
    parts[names.HEAD] = save_arrays({name: np.ascontiguousarray(array) for name, array in head.arrays.items()})
    whole = ModelCard(
        **card,
        views=tuple(views),
        head={"kind": head.kind, "settings": dict(head.settings)},
        calibration=fitted.calibration.state(),
        lineage=descent(state.source for state in states if state.source is not None),
    )
    parts[names.CARD] = _json(whole.json())
    parts[names.REPORT] = _json(report)
    write_archive(path, parts)


def _pack_view(
    k: int, state: ViewState, choices: Mapping[str, Choice], parts: dict[str, bytes | Path]
) -> dict[str, Any]:
    from safetensors.numpy import save as save_arrays

    from headstart.engines.quantise import quantised
    from headstart.sources.pack import on_the_way, pack

    described: dict[str, Any] = {"kind": state.kind, "settings": dict(state.settings)}
    if state.arrays:
        parts[names.arrays_member(k)] = save_arrays({n: np.ascontiguousarray(a) for n, a in state.arrays.items()})
    if state.source is not None:
        source, choice = state.source, choices[state.source.name]
        kept = on_the_way(source, state.taps)  # not read here, but what learns from this model can choose among them
        parts[names.graph_member(k)] = pack(source, kept)
        if choice.precision == "int8":
            parts[names.int8_member(k)] = pack(source, state.taps, quantised(source))
        if source.modality == "text":
            parts[names.tokenizer_member(k)] = source.tokenizer
        described |= {
            "source": source.name,
            "origin": source.origin,
            "licence": source.licence,
            "fingerprint": source.fingerprint,
            "engine": choice.engine,
            "precision": choice.precision,
            "input": layout.input_json(source.input),
            "taps": [asdict(tap) for tap in state.taps],
            "kept": [asdict(tap) for tap in kept],
        }
    return described


def load(path: str | Path) -> Model:
    """Load a model. Nothing in the file is executed; every member is checked against its hash.

    Raises:
        ArtefactError: the file is missing, damaged, hostile, or from a later version.
        StorageError: the disk of temporary files is full.
    """
    path = Path(path)
    with open_archive(path) as archive, blame(path):
        card = ModelCard.parse(archive.json(names.CARD))
        report = archive.json(names.REPORT)
        if not isinstance(report, dict):
            raise ArtefactError(f"{names.REPORT} is not an object: the file is damaged")
        folder = TemporaryFolder()
        views = tuple(_open_view(k, card, archive, folder.path) for k in range(len(card.views)))
        head = _open_head(card, archive)
        with damage("its calibration"):
            calibration = Calibration.restore(dict(card.calibration))
            _agree(card, {"task": calibration.task}, "calibration")
            if calibration.offsets:
                _agree(card, {"outputs": len(calibration.offsets)}, "calibration")
        origin = Origin(path)
    return Model(card, report, origin, views, head, calibration, (folder,))


def _open_view(k: int, card: ModelCard, archive: Archive, folder: Path) -> Featuriser:
    kind = card.views[k]["kind"]
    try:
        with damage(f"view {k} of kind {kind!r}"):
            opened = _opened(k, card, archive, folder)
    except SourceError as error:
        # A temporary place, which is nobody's concern.
        told = str(error).replace(f"{folder}{os.sep}", "").replace(str(folder.resolve()), "the model file")
        raise ArtefactError(f"view {k}: {told}: damaged file") from None
    except StorageError as error:
        raise StorageError(f"{archive.path} is unpacked while it is in use: {error} in TMPDIR") from None
    if opened is None:
        raise ArtefactError(f"view {k} is of unknown kind {kind!r} for {card.modality} items: upgrade headstart")
    return opened


def _opened(k: int, card: ModelCard, archive: Archive, folder: Path) -> Featuriser | None:
    """The view; None where items of the model's modality have no such kind."""
    view, settings = card.views[k], card.views[k]["settings"]
    kind = (card.modality, view["kind"])
    if view["kind"] == "source":
        return _opened_source(k, card, archive, folder)
    if kind == ("image", "hog"):
        return HogFeaturiser()
    if kind == ("sound", "logmel"):
        return LogmelFeaturiser()
    if kind == ("text", "tfidf"):
        from headstart.features.tfidf import Vocabulary

        return TfidfFeaturiser(Vocabulary.restore(archive.arrays(names.arrays_member(k)), settings))
    if kind == ("table", "rows"):
        from headstart.features.rows import RowScaler

        scaler = RowScaler.restore(archive.arrays(names.arrays_member(k)), settings)
        if len(scaler.medians) != len(card.columns):
            raise ValueError(f"{len(scaler.medians)} medians, {len(card.columns)} columns")
        return RowsFeaturiser(scaler)
    return None


def _opened_source(k: int, card: ModelCard, archive: Archive, folder: Path) -> Featuriser | None:
    from headstart.sources.onnx_load import load as check_graph

    view = card.views[k]
    taps, described = layout.parse_taps(view["taps"]), layout.parse_input(view["input"])
    if described.kind != card.modality:
        return None
    text = described.kind == "text"
    tokenizer = archive.extract(names.tokenizer_member(k), folder) if text else None
    engine, precision = str(view["engine"]), layout.parse_precision(view["precision"])
    graphs: dict[Precision, Path] = {"fp32": archive.extract(names.graph_member(k), folder)}
    if precision == "int8":
        graphs["int8"] = archive.extract(names.int8_member(k), folder)
    for graph in graphs.values():
        check_graph(graph)
    return SourceFeaturiser(graphs, tokenizer, described, taps, engine, precision)


def _open_head(card: ModelCard, archive: Archive) -> FittedHead:
    kind, settings = card.head["kind"], card.head["settings"]
    _agree(card, settings, "head")
    try:
        with damage("its head"):
            head = registry.get("headstart.heads", kind)
            fitted: FittedHead = head.restore(HeadState(kind, archive.arrays(names.HEAD), settings))
    except OptionError:
        raise ArtefactError(
            f"its head is of unknown kind {kind!r}: upgrade headstart, or install its plug-in"
        ) from None
    return fitted


def _agree(card: ModelCard, stated: Mapping[str, Any], part: str) -> None:
    """Refuse a part that says another task or number of outputs than the card, where it says one."""
    for key, expected in (("task", card.task), ("outputs", len(card.classes))):
        if stated.get(key, expected) != expected:
            raise ArtefactError(f"its {part} has {key} {stated[key]!r}, its card {expected!r}: damaged file")


def _json(value: Any) -> bytes:
    import json

    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False).encode()
