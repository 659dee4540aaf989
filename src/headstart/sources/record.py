"""What is written about an exported source: source.json, and the fingerprint that names its features.

source.json     name, modality, origin, licence, parameters, input, taps, lineage, fingerprint, files (their bytes)
graph.onnx      the frozen graph
tokenizer.json  texts only
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

from headstart.errors import SourceError
from headstart.sources.base import (
    GRAPH_FILE,
    SOURCE_FILE,
    TOKENIZER_FILE,
    Ancestor,
    Exported,
    Modality,
    Pooling,
    Source,
    SourceInput,
    Tap,
)
from headstart.sources.files import Fields, read_object, sha256_of
from headstart.sources.input_record import read_input
from headstart.sources.lineage import read_lineage

_MOST_TAPS = 1024


def write_record(exported: Exported, directory: Path) -> Source:
    """Describe the files that a provider wrote into `directory` in its SOURCE_FILE.

    Raises:
        SourceError: the provider left out a file, or its description is wrong.
    """
    needed = _files(exported.modality)
    missing = [name for name in needed if not (directory / name).is_file()]
    if missing or not exported.taps or exported.input.kind != exported.modality:
        raise SourceError(f"the export of {exported.name} is not complete: missing {', '.join(missing) or 'taps'}")
    description = Fields(asdict(exported.input), f"the input of {exported.name}")
    description.text("kind")
    exported = replace(exported, input=read_input(description, exported.modality))  # 1 becomes 1.0, as it is read back
    description.finish(others=False)
    record = {
        **asdict(exported),
        "fingerprint": _fingerprint(exported.input, exported.taps, directory),
        "files": {name: (directory / name).stat().st_size for name in needed},
    }
    (directory / SOURCE_FILE).write_bytes(_canonical(record) + b"\n")
    return source_from_directory(directory)


def source_from_directory(directory: Path) -> Source:
    """The source whose files lie in `directory`, as its SOURCE_FILE tells; loads no graph.

    Trusts the recorded fingerprint after comparing the sizes of the files; `verify` hashes them.

    Raises:
        SourceError: the record is missing or wrong, or a file does not have the recorded size.
    """
    path = directory / SOURCE_FILE
    record = read_object(path)
    lineage = read_lineage(record.pop("lineage", []), str(path))
    fields = Fields(record, str(path))
    modality: Modality = fields.text("modality", choices=get_args(Modality))  # type: ignore[assignment]
    description = Fields(fields.mapping("input"), f"{path}: input")
    source = Source(
        name=fields.text("name"),
        modality=modality,
        origin=fields.text("origin"),
        licence=fields.text("licence"),
        parameters=fields.integer("parameters", low=0, high=1 << 48),
        fingerprint=fields.text("fingerprint", longest=64),
        directory=directory,
        input=read_input(description, modality),
        taps=read_taps(fields, "taps", str(path)),
    )
    own = Ancestor(source.name, source.fingerprint, source.origin, source.licence)
    source = replace(source, lineage=lineage or (own,))
    sizes = Fields(fields.mapping("files"), f"{path}: files")
    fields.finish(others=False)
    description.text("kind", choices=(modality,))
    description.finish(others=False)
    for name in _files(modality):
        size = sizes.integer(name, low=0, high=1 << 40)
        file = directory / name
        if not file.is_file() or file.stat().st_size != size:
            raise SourceError(f"{file} is not the file of {size:,} bytes that was exported; delete {directory}")
    sizes.finish(others=False)
    return source


def verify(source: Source) -> None:
    """Hash the files of a source and compare with its fingerprint.

    Raises:
        SourceError: something was changed after the export.
    """
    got = _fingerprint(source.input, source.taps, source.directory)
    if got != source.fingerprint:
        raise SourceError(
            f"{source.directory} has fingerprint {got}, its record says {source.fingerprint}; "
            "delete the folder and it is exported again"
        )


def read_taps(fields: Fields, key: str, where: str) -> tuple[Tap, ...]:
    """The taps that `key` lists.

    Raises:
        SourceError: one of them is not a tap; `fields` has the mistake where there are none.
    """
    return tuple(_read_tap(tap, where) for tap in fields.mappings(key, most=_MOST_TAPS))


def _read_tap(values: dict[str, object], where: str) -> Tap:
    fields = Fields(values, f"{where}: taps")
    pooling: Pooling = fields.text("pooling", choices=get_args(Pooling))  # type: ignore[assignment]
    tap = Tap(
        name=fields.text("name"),
        depth=fields.integer("depth", low=0, high=1 << 20),
        pooling=pooling,
        width=fields.integer("width", low=1, high=1 << 24),
    )
    fields.finish(others=False)
    return tap


def _files(modality: str) -> tuple[str, ...]:
    return (GRAPH_FILE, TOKENIZER_FILE) if modality == "text" else (GRAPH_FILE,)


def _fingerprint(description: SourceInput, taps: tuple[Tap, ...], directory: Path) -> str:
    """sha256 over what decides the features: the hash of each file, the input description, the taps."""
    parts = [sha256_of(directory / name) for name in _files(description.kind)]
    parts.append(_canonical([asdict(description), [asdict(tap) for tap in taps]]).decode())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: the same bytes for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
