"""Model to artefact and back: which bytes go in, and how the parts come out again."""

from __future__ import annotations

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
from headstart.errors import ArtefactError, OptionError, SourceError
from headstart.evidence.calibration import Calibration
from headstart.heads.base import FittedHead, HeadState
from headstart.model import layout
from headstart.model.featurisers import Featuriser, HogFeaturiser, RowsFeaturiser, SourceFeaturiser, TfidfFeaturiser
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
    """
    with open_archive(Path(path)) as archive:
        card = ModelCard.parse(archive.json(names.CARD))
        report = archive.json(names.REPORT)
        folder = TemporaryFolder()
        views = tuple(_open_view(k, view, archive, folder.path) for k, view in enumerate(card.views))
        head = _open_head(card, archive)
        try:
            calibration = Calibration.restore(dict(card.calibration))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtefactError(f"{path}: the calibration cannot be read ({error}): damaged file") from None
        origin = Origin(Path(path))
    return Model(card, report, origin, views, head, calibration, (folder,))


def _open_view(k: int, view: Mapping[str, Any], archive: Archive, folder: Path) -> Featuriser:
    kind = view["kind"]
    try:
        if kind == "source":
            from headstart.sources.onnx_load import load as check_graph

            taps, described = layout.parse_taps(view["taps"]), layout.parse_input(view["input"])
            text = described.kind == "text"
            tokenizer = archive.extract(names.tokenizer_member(k), folder) if text else None
            engine, precision = str(view["engine"]), layout.parse_precision(view["precision"])
            graphs: dict[Precision, Path] = {"fp32": archive.extract(names.graph_member(k), folder)}
            if precision == "int8":
                graphs["int8"] = archive.extract(names.int8_member(k), folder)
            for graph in graphs.values():
                check_graph(graph)
            return SourceFeaturiser(graphs, tokenizer, described, taps, engine, precision)
        if kind == "hog":
            return HogFeaturiser()
        if kind == "tfidf":
            from headstart.features.tfidf import Vocabulary

            return TfidfFeaturiser(Vocabulary.restore(archive.arrays(names.arrays_member(k)), view["settings"]))
        if kind == "rows":
            from headstart.features.rows import RowScaler

            return RowsFeaturiser(RowScaler.restore(archive.arrays(names.arrays_member(k)), view["settings"]))
    except SourceError as error:
        raise ArtefactError(f"view {k}: {error}: damaged file") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"view {k} of kind {kind!r} cannot be read ({error}): damaged file") from None
    raise ArtefactError(f"view {k} is of unknown kind {kind!r}: upgrade headstart")


def _open_head(card: ModelCard, archive: Archive) -> FittedHead:
    try:
        kind, settings = card.head["kind"], card.head["settings"]
        head = registry.get("headstart.heads", kind)
        fitted: FittedHead = head.restore(HeadState(kind, archive.arrays(names.HEAD), settings))
    except OptionError:
        raise ArtefactError(
            f"its head is of unknown kind {kind!r}: upgrade headstart, or install its plug-in"
        ) from None
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ArtefactError(f"its head cannot be read ({error}): damaged file") from None
    return fitted


def _json(value: Any) -> bytes:
    import json

    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False).encode()
