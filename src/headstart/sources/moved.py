"""A source whose weights were moved: the same graph with other numbers in it, and so a source again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.errors import SourceError, StorageError
from headstart.sources.base import TOKENIZER_FILE, Exported, Source, Tap

if TYPE_CHECKING:
    import onnx

_FLOAT = 1  # onnx.TensorProto.FLOAT


def moved_source(
    source: Source,
    weights: Mapping[str, NDArray[np.float32]],
    directory: Path,
    *,
    name: str | None = None,
    taps: Sequence[Tap] | None = None,
) -> Source:
    """Write `source` with some of its weights replaced, as a source of its own. The same weights give the same bytes.

    Args:
        weights: initializer of the source's graph -> its new value, float32, finite, of the same shape.
        directory: where the graph, the tokenizer and the record go; made if it is not there.
        name: of the new source; that of `source` where none is given.
        taps: those of the source's taps that the new one has; layers that none of them needs are left out. All where
            none are given.

    Returns:
        The new source. Its lineage is that of `source`: it starts with what it was moved from. What it was moved by,
        and on what data, is told by the model that it becomes part of.

    Raises:
        SourceError: a weight that the graph does not have, of another shape or not finite; a tap that it does not have.
        StorageError: the files cannot be written.
    """
    import onnx

    from headstart.sources.graph import write
    from headstart.sources.pack import check_taps, cut
    from headstart.sources.record import write_record

    if taps is not None:
        check_taps(source, taps)
    served = tuple(tap for tap in source.taps if taps is None or tap in taps)  # in the source's order, shallow first
    model = onnx.load_model(source.graph)
    _replace(model, weights, source.name)
    cut(model, served)
    exported = Exported(
        name=source.name if name is None else name,
        modality=source.modality,
        origin=source.origin,
        licence=source.licence,
        parameters=source.parameters,
        input=source.input,
        taps=served,
        lineage=source.lineage,
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write(model, directory)
        if source.modality == "text":
            shutil.copyfile(source.tokenizer, directory / TOKENIZER_FILE)
        return write_record(exported, directory)
    except OSError as error:
        raise StorageError(
            f"the moved weights of {source.name} cannot be written into {directory} ({error.strerror or error}); "
            "free some space"
        ) from error


def _replace(model: onnx.ModelProto, weights: Mapping[str, NDArray[np.float32]], name: str) -> None:
    """Put `weights` into the graph, in place."""
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for key, value in weights.items():
        tensor = tensors.get(key)
        if tensor is None or tensor.data_type != _FLOAT:
            raise SourceError(f"{name} has no weights {key!r} of float32: they were moved in another graph")
        shape = tuple(tensor.dims)
        if value.dtype != np.float32 or value.shape != shape:
            raise SourceError(
                f"the weights {key!r} of {name} are float32 {shape}, not {value.dtype} {value.shape}: "
                "they were moved in another graph"
            )
        if not np.isfinite(value).all():
            raise SourceError(f"the weights {key!r} of {name} were moved to numbers that are not finite: train it anew")
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), key))
