"""The int8 twin: near the original, the same bytes every time, silent, whole or absent."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import onnx
import pytest

from headstart.engines.onnxruntime import OnnxRuntime
from headstart.engines.probe import probe
from headstart.engines.quantise import CALIBRATION_ITEMS, INT8_FILE, quantised
from headstart.errors import EngineError, StorageError
from headstart.sources.base import GRAPH_FILE, Source


@pytest.fixture(params=["image_source", "text_source", "sound_source"])
def source(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def test_it_is_int8_and_near(source: Source, listener: Any) -> None:
    graph = quantised(source, progress=listener)
    operators = {node.op_type for node in onnx.load(str(graph)).graph.node}
    assert "QuantizeLinear" in operators if source.modality == "image" else "MatMulInteger" in operators
    assert listener.bars == {"quantise": len(probe(source).head(CALIBRATION_ITEMS).feeds)}
    outputs = [tap.name for tap in source.taps]
    engine, feeds = OnnxRuntime(), probe(source).feeds[2]
    true = engine.open(source.graph, outputs, "fp32", 1).run(feeds)
    for got, wanted in zip(engine.open(graph, outputs, "int8", 1).run(feeds), true, strict=True):
        assert np.abs(got - wanted).mean() < 0.1 * np.abs(wanted).mean()


def test_the_bytes_are_the_same_every_time(source: Source) -> None:
    first = quantised(source).read_bytes()
    (source.directory / INT8_FILE).unlink()
    assert quantised(source).read_bytes() == first


def test_it_is_made_once(source: Source, listener: Any) -> None:
    before = quantised(source).stat().st_mtime_ns
    assert quantised(source, progress=listener).stat().st_mtime_ns == before
    assert not listener.bars
    assert not [path for path in source.directory.iterdir() if path.name.startswith(".")]


def test_it_says_nothing_and_leaves_logging_alone(source: Source, capfd: pytest.CaptureFixture[str]) -> None:
    handlers = list(logging.getLogger().handlers)
    quantised(source)
    assert logging.getLogger().handlers == handlers
    assert capfd.readouterr() == ("", "")


def test_a_graph_that_cannot_be_quantised(image_source: Source) -> None:
    (image_source.directory / GRAPH_FILE).write_bytes(b"not a graph")
    with pytest.raises(EngineError, match="cannot be quantised"):
        quantised(image_source)
    assert [path.name for path in image_source.directory.iterdir()] == [GRAPH_FILE]


def test_a_missing_folder_is_a_storage_error(image_source: Source) -> None:
    image_source.graph.unlink()
    image_source.directory.rmdir()
    with pytest.raises(StorageError, match="cannot write"):
        quantised(image_source)
