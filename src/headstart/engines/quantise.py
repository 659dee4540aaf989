"""An int8 twin of a source's graph, made once and kept beside it.

Images: static quantisation (QDQ): activation ranges are calibrated on probe crops, weights per channel, which both CPU
engines run natively. The first fifth of the convolutions stays in float: there the ranges of the channels differ most,
and an error made there passes through all layers (EfficientNet-Lite0, 16 taps, mean cosine to fp32: none in float .68,
the first two .96, the first nine of 49 .991; with exact 8-bit sums, which processors without VNNI do not have).

Texts and sounds: dynamic quantisation of the matrix products: the ranges of a transformer's activations differ so much
from token to token that static ones lose it (MiniLM, 21 taps: mean cosine to fp32 .92, dynamic .990).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headstart.engines.base import Feeds
from headstart.engines.probe import probe
from headstart.errors import EngineError, StorageError, one_line
from headstart.optional import onnxruntime
from headstart.progress import SILENT, Bar, Progress
from headstart.sources.base import Source

INT8_FILE = "graph.int8.onnx"
CALIBRATION_ITEMS = 32
FLOAT_SHARE = 5  # one in so many convolutions, the first ones, stays in float
_CALIBRATION_SEED = 1  # not the crops on which the features are then checked


def quantised(source: Source, *, progress: Progress = SILENT) -> Path:
    """The int8 graph of `source`; made if it is not there yet.

    Raises:
        EngineError: the graph cannot be quantised.
        StorageError: the source's folder cannot be written.
    """
    target = source.directory / INT8_FILE
    if target.is_file():
        return target
    try:
        folder = Path(tempfile.mkdtemp(prefix=".int8-", dir=source.directory))
    except OSError as error:
        raise StorageError(
            f"cannot write {source.directory} ({error.strerror}): free space or set HEADSTART_HOME"
        ) from error
    try:
        with _quiet():
            _write(source, folder / INT8_FILE, progress)
        os.replace(folder / INT8_FILE, target)  # whole or not at all, whoever else is writing it
    except OSError as error:
        raise StorageError(f"cannot write {target} ({error.strerror}): free space or set HEADSTART_HOME") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def _write(source: Source, target: Path, progress: Progress) -> None:
    import onnx

    onnxruntime()
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    try:
        model = onnx.load(str(source.graph))
        add_pre_process_metadata(model)  # an exported graph is optimised already; else a warning is logged
        batches = probe(source, seed=_CALIBRATION_SEED).head(CALIBRATION_ITEMS).feeds
        with progress.bar("quantise", source.name, len(batches), "batches") as bar:
            if source.modality != "image":
                quantize_dynamic(
                    model, target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8
                )
                bar.advance(len(batches))
            else:
                quantize_static(
                    model,
                    target,
                    _reader(batches, bar),
                    quant_format=QuantFormat.QDQ,
                    op_types_to_quantize=["Conv", "MatMul", "Gemm", "Add"],
                    nodes_to_exclude=_first_convolutions(model),
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                )
    except (EngineError, OSError):
        raise
    except Exception as error:  # onnxruntime's quantiser raises whatever its passes do
        reason = one_line(error)[:200]
        raise EngineError(f"{source.name} cannot be quantised to int8: {reason}; fp32 is used") from error


def _first_convolutions(model: Any) -> list[str]:
    """The names of the convolutions that stay in float; nodes without a name get one."""
    for node in model.graph.node:
        node.name = node.name or node.output[0]
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    return convolutions[: len(convolutions) // FLOAT_SHARE]


def _reader(batches: list[Feeds], bar: Bar) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        """The batches, one a call, then None."""

        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> Feeds | None:
            batch = next(self._left, None)
            if batch is not None:
                bar.advance()
            return batch

    return Batches()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the quantiser logs to itself.

    It calls logging.warning(), which prints, and installs a handler on the root logger where there is none.
    """
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
