"""What a source is: a frozen graph that turns prepared items into pooled features of several depths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

GRAPH_FILE = "graph.onnx"
TOKENIZER_FILE = "tokenizer.json"
SOURCE_FILE = "source.json"

Modality = Literal["image", "text", "sound"]
Pooling = Literal["mean", "max", "first", "std"]
Resize = Literal["squash", "crop"]
Interpolation = Literal["bicubic", "bilinear"]
Front = Literal["wave", "whisper", "ge2e", "ast"]


@dataclass(frozen=True)
class ImageInput:
    """How an image becomes the graph's input `image`: (n, 3, size, size) float32, RGB, (x / 255 - mean) / std.

    Attributes:
        resize: "squash" to size x size whatever the shape; "crop": short side to size / crop_fraction, then the middle.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Resize = "squash"
    crop_fraction: float = 1.0
    interpolation: Interpolation = "bicubic"
    kind: Literal["image"] = "image"


@dataclass(frozen=True)
class TextInput:
    """How a text becomes the graph's inputs `input_ids` and `attention_mask`: (n, t) int64.

    The tokenizer is the `tokenizers` JSON file beside the graph. `token_type_ids`, where a graph wants them, are zeros
    made inside the graph by the export, never fed.
    """

    max_tokens: int
    pad_id: int = 0
    prefix: str = ""
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class SoundInput:
    """How a sound becomes the graph's input: mono, at `rate`, in windows of at most `seconds` whose rows are pooled.

    A window shorter than `shortest` samples is followed by zeros. Windows are never padded to one another's length, so
    that a short clip costs little, and its row does not depend on its neighbours.

    Attributes:
        rate: Hz. Every file is resampled to it.
        seconds: the longest window; a longer clip is cut into equal windows that overlap where they must.
        shortest: samples that the graph needs.
        front: what is computed before the graph. "wave": nothing, the input is `wave` (n, t) float32. The others give
            `mel` (n, bands, frames) float32: "whisper" the log-mel spectrogram of Radford et al. 2022 (2212.04356),
            of the window's own length; "ge2e" the mel power of Wan et al. 2018 (1710.10467) as Resemblyzer has it;
            "ast" Kaldi's log-mel filter banks of Gong et al. 2021 (2104.01778).
        bands: mel bands; 0 for "wave".
        frames: frames that a window is padded or cut to; 0 for as many as it has.
        mean, std: what (x - mean) / std is taken with, after the front.
        standardise: each window to mean 0 and variance 1 first ("wave").
    """

    rate: int
    seconds: float
    shortest: int = 1
    front: Front = "wave"
    bands: int = 0
    frames: int = 0
    mean: float = 0.0
    std: float = 1.0
    standardise: bool = False
    kind: Literal["sound"] = "sound"


SourceInput = ImageInput | TextInput | SoundInput


@dataclass(frozen=True)
class Tap:
    """One pooled output of the graph: (n, width) float32 under its own name.

    Attributes:
        name: the graph's output, "stage3.mean".
        depth: 0 nearest the input; the largest depth is the last layer.
        pooling: "mean", "max", "first" (the first two tokens of a text side by side; the class token of an image), or
            "std" (the standard deviation over a sound's positions).
    """

    name: str
    depth: int
    pooling: Pooling
    width: int


@dataclass(frozen=True)
class TrainedOn:
    """The labelled data of a fit, as far as a file that travels may tell: `name` is no path, `classes` their count."""

    name: str
    n: int
    classes: int


@dataclass(frozen=True)
class Ancestor:
    """One model in the descent of another.

    Attributes:
        sha256: hex; of the .headstart file, or the fingerprint of a source that no fit made.
        strategy: how the fit learned it; None for a source that no fit made, as is `data`.
    """

    name: str
    sha256: str
    origin: str
    licence: str
    strategy: str | None = None
    data: TrainedOn | None = None


@dataclass(frozen=True)
class Source:
    """An exported source on disk.

    Attributes:
        fingerprint: sha256 hex over graph, tokenizer, input description and taps; same fingerprint, same features.
        directory: holds GRAPH_FILE, SOURCE_FILE and, for text, TOKENIZER_FILE.
        taps: in graph output order, shallow first. The taps of the greatest depth are "the last layer".
        lineage: itself, then what it was made from, nearest first. That of a source whose weights a fit has just moved
            starts with what they were moved from: the model that it becomes part of is what goes before.
    """

    name: str
    modality: Modality
    origin: str
    licence: str
    parameters: int
    fingerprint: str
    directory: Path
    input: SourceInput
    taps: tuple[Tap, ...]
    lineage: tuple[Ancestor, ...] = ()

    @property
    def graph(self) -> Path:
        """The ONNX file."""
        return self.directory / GRAPH_FILE

    @property
    def tokenizer(self) -> Path:
        """The tokenizer file of a text source."""
        return self.directory / TOKENIZER_FILE

    @property
    def width(self) -> int:
        """D: the columns of all taps side by side."""
        return sum(tap.width for tap in self.taps)


@dataclass(frozen=True)
class Entry:
    """A line of the catalogue: a source that exists, whether or not it is installed here.

    Attributes:
        special: the one thing that it was trained to tell ("who is speaking"), so that it is used where it is asked
            for and is no default; empty for a source of general use.
    """

    name: str
    modality: Modality
    origin: str
    licence: str
    parameters: int
    input: str
    sha256: str
    installed: bool
    install: str
    special: str = ""


@dataclass(frozen=True)
class Exported:
    """What a provider says of the graph it wrote; the catalogue adds the fingerprint and files it.

    Attributes:
        lineage: as of Source; empty where no fit made it.
    """

    name: str
    modality: Modality
    origin: str
    licence: str
    parameters: int
    input: SourceInput
    taps: tuple[Tap, ...]
    lineage: tuple[Ancestor, ...] = ()


class Provider(Protocol):
    """Where sources come from. One file each; registered under headstart.providers."""

    def entries(self) -> list[Entry]:
        """What this provider can name without a hub; empty where sources are found by reference only."""

    def accepts(self, reference: str) -> bool:
        """True if `reference` (a catalogue name, "timm/...", a path) is this provider's to export."""

    def modality(self, reference: str) -> Modality | None:
        """What the source reads, told without exporting it or asking a hub; None where only the export shows."""

    def key(self, reference: str) -> str:
        """A cheap identity of what would be exported (weights' hash, library version); same key, same export."""

    def export(self, reference: str, directory: Path) -> Exported:
        """Write GRAPH_FILE (and TOKENIZER_FILE) into an empty `directory`.

        Raises:
            SourceError: the weights are not there or not what their hash says.
            MissingLayerError: a package is absent.
        """
