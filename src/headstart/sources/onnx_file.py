"""Any ONNX file as a source: MODEL.onnx with MODEL.json, its preprocessing, beside it.

    key            all
    modality       "image", "text" or "sound"
    taps           names of the model's outputs, shallow first. (n, width) is taken as it is, as a mean; feature maps
                   (n, c, h, w) and tokens (n, t, c) get pooling nodes: mean and max, and for texts the first two
                   tokens; for a sound's positions (n, t, c) mean and standard deviation
    name           optional; the file's name
    licence        optional; "unknown"

    key            images                              key            texts
    size           pixels of a side                    max_tokens     including special tokens
    mean, std      three numbers, or one; of 0...1     tokenizer      optional; "tokenizer.json", beside the model
    resize         optional; "squash" or "crop"        pad_id         optional; 0
    crop_fraction  optional; 1.0                       prefix         optional; ""
    interpolation  optional; "bicubic", "bilinear"

    key            sounds
    rate           Hz
    seconds        the longest window
    shortest       optional; samples that the model needs, a tenth of a second
    front          optional; "wave", or a spectrogram: "whisper", "ge2e", "ast", as base.py has them
    bands, frames  of a spectrogram; frames where the model takes no other number of them
    mean, std      optional; (x - mean) / std after the front
    standardise    optional; true: each window to mean 0 and variance 1

An image model has one float32 input (n, 3, size, size); a text model has int64 `input_ids`, `attention_mask` and, if it
must, `token_type_ids`, which become zeros inside the graph; a sound model has one float32 input (n, t) or (n, bands,
frames). The first axis must not be fixed.

A file is data of unknown origin: its size is bounded, data outside its folder is refused, and so are operators that
are not ONNX's own, which would need code to run.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from headstart.errors import SourceError
from headstart.sources.base import TOKENIZER_FILE, Entry, Exported, Modality, SourceInput
from headstart.sources.files import Fields, read_object, stamp
from headstart.sources.input_record import read_input
from headstart.sources.model_folder import read_tokenizer

_MOST_TAPS = 256
_EXAMPLE = '"size": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "taps": ["features"]'


@dataclass(frozen=True)
class Description:
    """What MODEL.json says, checked; `tokenizer` is the file's bytes, for texts."""

    name: str
    modality: Modality
    licence: str
    taps: tuple[str, ...]
    input: SourceInput
    tokenizer: bytes | None


class OnnxFile:
    """The provider registered as `onnx`."""

    def entries(self) -> list[Entry]:
        """Nothing: files are found by reference."""
        return []

    def accepts(self, reference: str) -> bool:
        """True for a path that ends in .onnx."""
        return reference.lower().endswith(".onnx")

    def modality(self, reference: str) -> Modality | None:
        """What the description says; None where it is missing or wrong, which the export tells."""
        try:
            said = read_object(Path(reference).with_suffix(".json")).get("modality")
        except (SourceError, ValueError):  # ValueError: a NUL in the path
            return None
        return said if said in get_args(Modality) else None  # type: ignore[return-value]

    def key(self, reference: str) -> str:
        """Where the files are, how long, and when changed."""
        path = Path(reference)
        return stamp(path, path.with_suffix(".json"), path.with_name(TOKENIZER_FILE))

    def export(self, reference: str, directory: Path) -> Exported:
        """Check the file, add pooling, and write it as a source's graph.

        Raises:
            SourceError: the model or its description is missing, wrong or not allowed.
        """
        from headstart.sources.graph import write
        from headstart.sources.onnx_adapt import adapt
        from headstart.sources.onnx_load import load

        path = Path(reference)
        description = read_description(path)
        if description.tokenizer is not None:
            (directory / TOKENIZER_FILE).write_bytes(description.tokenizer)
        model = load(path)
        parameters = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
        adapted, pooled = adapt(model, description.input, description.taps, str(path))
        write(adapted, directory)
        return Exported(
            name=description.name,
            modality=description.modality,
            origin=f"ONNX file {path.name}",
            licence=description.licence,
            parameters=parameters,
            input=description.input,
            taps=pooled,
        )


def read_description(path: Path) -> Description:
    """The description beside the ONNX file `path`.

    Raises:
        SourceError: it is missing, or has a wrong, missing or unknown key: all of them in one line.
    """
    beside = path.with_suffix(".json")
    if not os.path.isfile(path):
        raise SourceError(f"there is no file {path}; give the path of an ONNX model")
    if not beside.is_file():
        raise SourceError(
            f'{path} needs its preprocessing in {beside}, for example {{"modality": "image", {_EXAMPLE}}}'
        )
    fields = Fields(read_object(beside), str(beside))
    modality: Modality = fields.text("modality", choices=get_args(Modality))  # type: ignore[assignment]
    file = fields.text("tokenizer", TOKENIZER_FILE, longest=200) if modality == "text" else None
    description = Description(
        name=fields.text("name", path.stem, longest=100),
        modality=modality,
        licence=fields.text("licence", "unknown", longest=100),
        taps=fields.texts("taps", most=_MOST_TAPS),
        input=read_input(fields, modality),
        tokenizer=None if file is None else read_tokenizer(path.parent / file),
    )
    fields.finish(others=False)
    if modality == "text" and description.tokenizer is None:
        raise SourceError(f"{beside} names the tokenizer {file!r}, which is not in {path.parent}")
    return description
