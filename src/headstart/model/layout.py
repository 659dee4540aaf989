"""What a .headstart file holds, declared as data.

    manifest.json            every other member with its sha256 and size (written by the archive itself)
    model.json               ModelCard: task, classes, views, head settings, calibration, provenance
    report.json              the evidence of the fit, without wall-clock times
    head.safetensors         the head's arrays
    view-K.onnx              kind "source": the frozen graph, cut down to the taps in use and those on the way to them
    view-K.int8.onnx         the taps in use, quantised, where the features were computed in int8
    view-K.tokenizer.json    text sources: the tokenizer
    view-K.safetensors       kinds "tfidf" and "rows": what was fitted on the training items

Nothing in it is code; nothing is executed on load. The same data, options and seed give the same bytes
on one machine with the same engine choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast, get_args

from headstart.archive.names import CARD
from headstart.data.dataset import MODALITIES, Modality
from headstart.engines.base import Precision
from headstart.errors import ArtefactError, SourceError
from headstart.sources.base import Ancestor, SourceInput, Tap
from headstart.sources.base import Modality as SourceModality
from headstart.sources.files import Fields
from headstart.sources.input_record import read_input
from headstart.sources.lineage import read_lineage
from headstart.tasks import TASKS, Task


@dataclass(frozen=True)
class ModelCard:
    """model.json.

    Attributes:
        views: for each view its kind and settings; for kind "source" also source, fingerprint, licence, origin,
            engine, precision, input, taps (those in use, in column order) and kept (every tap that the graph yields).
        head: {"kind", "settings"}.
        columns: the feature columns of a table model, in order.
        input: the table column that held the items, or None.
        data: what it was fitted on: name, n, seed; label, the table columns that held the labels.
        versions: of headstart and the libraries that computed it.
        lineage: what it was made from, nearest first; empty where nothing was transferred.
    """

    name: str
    modality: Modality
    task: Task
    classes: tuple[str, ...]
    views: tuple[Mapping[str, Any], ...]
    head: Mapping[str, Any]
    calibration: Mapping[str, Any]
    columns: tuple[str, ...]
    input: str | None
    data: Mapping[str, Any]
    versions: Mapping[str, str]
    lineage: tuple[Ancestor, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The table columns that held the labels; none for a folder, and in files of the first days."""
        named = self.data.get("label")
        return tuple(named) if isinstance(named, (list, tuple)) and all(isinstance(one, str) for one in named) else ()

    def json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def parse(cls, value: Any) -> ModelCard:
        """From JSON that may be anything.

        Raises:
            ArtefactError: a key is missing, or a value is of the wrong kind.
        """
        kinds: dict[str, type | tuple[type, ...]] = {
            "name": str, "modality": str, "task": str, "classes": list, "views": list, "head": dict,
            "calibration": dict, "columns": list, "input": (str, type(None)), "data": dict, "versions": dict,
        }  # fmt: skip
        if not isinstance(value, dict):
            raise ArtefactError(f"{CARD} is not an object: the file is damaged")
        for key, kind in kinds.items():
            if not isinstance(value.get(key, ...), kind):
                raise ArtefactError(f"{CARD}: {key!r} is missing or of the wrong kind: the file is damaged")
        strings = [*value["classes"], *value["columns"], *value["versions"].values()]
        whole = (
            value["task"] in TASKS
            and value["modality"] in MODALITIES
            and all(isinstance(s, str) for s in strings)
            and all(map(_is_described, [value["head"], *value["views"]]))
            and value["views"]
            and _are_classes(value["classes"], value["task"])
        )
        if not whole:
            raise ArtefactError(f"{CARD}: task, modality, classes or views are not what they should be: damaged file")
        fields: dict[str, Any] = {key: tuple(value[key]) if kinds[key] is list else value[key] for key in kinds}
        try:
            lineage = read_lineage(value.get("lineage", []), CARD)  # absent in files of the first days
        except SourceError as error:
            raise ArtefactError(f"{error}: damaged file") from None
        return cls(**fields, lineage=lineage)


def _are_classes(classes: list[str], task: Task) -> bool:
    """True for as many different names as the task has outputs."""
    n = len(classes)
    fits = {"binary": n == 2, "multiclass": n >= 2, "multilabel": n >= 1, "regression": n == 1}[task]
    return fits and len(set(classes)) == n


def _is_described(value: Any) -> bool:
    """True for an object with a kind and settings."""
    return isinstance(value, dict) and isinstance(value.get("kind"), str) and isinstance(value.get("settings"), dict)


def input_json(value: SourceInput) -> dict[str, Any]:
    """An input description as plain JSON values."""
    return asdict(value)


def parse_input(value: Any) -> SourceInput:
    """The input description from JSON that may be anything.

    Raises:
        ArtefactError: it is not one.
    """
    where = f"{CARD}: the input description of a view"
    if not isinstance(value, dict):
        raise ArtefactError(f"{where} is not one: damaged file")
    fields = Fields(value, where)
    kind = fields.text("kind", choices=get_args(SourceModality))
    try:
        described = read_input(fields, cast("SourceModality", kind))
        fields.finish(others=False)
    except SourceError as error:
        raise ArtefactError(f"{error}: damaged file") from None
    return described


def parse_precision(value: Any) -> Precision:
    """The precision from JSON that may be anything.

    Raises:
        ArtefactError: it is not one.
    """
    if value not in get_args(Precision):
        raise ArtefactError(f"{CARD}: precision {value!r} is not one of {', '.join(get_args(Precision))}: damaged file")
    return cast("Precision", value)


def parse_taps(value: Any) -> tuple[Tap, ...]:
    """The taps from JSON that may be anything.

    Raises:
        ArtefactError: they are not taps.
    """
    try:
        taps = tuple(Tap(**tap) for tap in value)
        if taps and all(isinstance(t.name, str) and 1 <= int(t.width) <= 1 << 20 for t in taps):
            return taps
    except TypeError:
        pass
    raise ArtefactError(f"{CARD}: the taps of a view are not taps: damaged file")
