"""A model that `fit` made as a source for the next: MODEL.headstart.

What it serves are the layers of its graph, pooled, as the fit left them; its head stays behind. Where the weights were
moved, the layers are other ones than its own source had; where they were frozen, they are the same, up to the deepest
in use. A model that uses several sources side by side serves the first of them.

The file is data of unknown origin: every part of it is checked against its hash, its card field by field, and its graph
as that of any ONNX file is.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import SourceError
from headstart.sources.base import TOKENIZER_FILE, Ancestor, Entry, Exported, Modality
from headstart.sources.files import sha256_of
from headstart.sources.lineage import LONGEST

if TYPE_CHECKING:
    import onnx

    from headstart.archive.container import Archive
    from headstart.sources.artefact_card import CardedView
    from headstart.sources.base import SourceInput

SUFFIX = ".headstart"
_FLOAT, _INT64 = 1, 7  # of onnx.TensorProto


class Artefact:
    """The provider registered as `artefact`."""

    def entries(self) -> list[Entry]:
        """Nothing: files are found by reference."""
        return []

    def accepts(self, reference: str) -> bool:
        """True for a path that ends in .headstart."""
        return reference.lower().endswith(SUFFIX)

    def modality(self, reference: str) -> Modality | None:
        """None: the file is opened and checked once, by the export, which asks nobody for anything."""
        return None

    def key(self, reference: str) -> str:
        """The file's name and the sha256 of its bytes.

        Raises:
            SourceError: there is no such file.
        """
        path = _file(reference)
        return f"{path.name} {sha256_of(path)}"

    def export(self, reference: str, directory: Path) -> Exported:
        """Check the file, and write the graph of its first source without what the head added.

        Raises:
            SourceError: there is no such file, or it holds nothing to transfer.
            ArtefactError: it is damaged, or from a later version.
        """
        from headstart.archive.container import open_archive
        from headstart.archive.names import CARD
        from headstart.sources.artefact_card import read_card
        from headstart.sources.graph import write
        from headstart.sources.pack import cut

        path = _file(reference)
        with open_archive(path) as archive:
            try:
                if CARD not in archive.names:
                    raise SourceError("it hears speech: it serves fit --task transcribe only")
                carded = read_card(archive)
                model = _graph(archive, carded, directory)
                cut(model, carded.taps)
                write(model, directory)
            except SourceError as error:
                raise SourceError(f"{path} cannot be a source: {error}") from None
        name, origin = path.stem, f"{path.name}, from {carded.source}"
        own = Ancestor(name, sha256_of(path), origin, carded.licence, carded.strategy, carded.trained_on)
        return Exported(
            name=name,
            modality=carded.modality,
            origin=origin,
            licence=carded.licence,
            parameters=sum(math.prod(tensor.dims) for tensor in model.graph.initializer),
            input=carded.input,
            taps=carded.taps,
            lineage=(own, *carded.lineage)[:LONGEST],
        )


def _file(reference: str) -> Path:
    path = Path(reference)
    if path.is_dir():
        raise SourceError(f"source {reference} is a folder: give the one {SUFFIX} file that fit saved")
    if not path.is_file():
        raise SourceError(f"source {reference}: there is no such file: give the path of a model that fit saved")
    return path


def _graph(archive: Archive, carded: CardedView, directory: Path) -> onnx.ModelProto:
    """The checked graph of the view; its tokenizer, if it reads texts, is left in `directory`."""
    from headstart.archive.names import graph_member, tokenizer_member
    from headstart.sources.model_folder import read_tokenizer
    from headstart.sources.onnx_load import load

    file = archive.extract(graph_member(carded.position), directory)
    model = load(file)
    file.unlink()
    if carded.modality == "text":
        tokenizer = archive.extract(tokenizer_member(carded.position), directory)
        read_tokenizer(tokenizer)  # refuses what is none
        tokenizer.rename(directory / TOKENIZER_FILE)
    if {value.name: _typed(value) for value in model.graph.input} != _inputs(carded.input):
        raise SourceError(f"its graph does not read what its card says of {carded.modality}s: damaged file")
    outputs = {value.name: _typed(value) for value in model.graph.output}
    for tap in carded.taps:
        if outputs.get(tap.name) != (_FLOAT, (0, tap.width)):
            raise SourceError(f"its graph does not yield {tap.name!r} with {tap.width} columns: damaged file")
    return model


def _inputs(described: SourceInput) -> dict[str, tuple[int, tuple[int, ...]]]:
    """What the graph of a source reads: name -> type and sizes, 0 for those that are free."""
    if described.kind == "image":
        return {"image": (_FLOAT, (0, 3, described.size, described.size))}
    if described.kind == "sound":
        wave = described.front == "wave"
        return {"wave": (_FLOAT, (0, 0))} if wave else {"mel": (_FLOAT, (0, described.bands, described.frames))}
    return dict.fromkeys(("input_ids", "attention_mask"), (_INT64, (0, 0)))


def _typed(value: onnx.ValueInfoProto) -> tuple[int, tuple[int, ...]]:
    """The type and the sizes of an input or output, 0 for those that are free."""
    tensor = value.type.tensor_type
    return tensor.elem_type, tuple(size.dim_value for size in tensor.shape.dim)
