"""What every engine owes, on every engine that is registered; the GPU engine's arithmetic also on the CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from headstart import registry
from headstart.engines.base import Engine
from headstart.engines.measure import GROUP
from headstart.engines.torch_cuda import TorchCuda
from headstart.errors import EngineError

ENGINES = [*registry.names(GROUP), "torch on the cpu"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = TorchCuda("cpu") if request.param == "torch on the cpu" else registry.get(GROUP, request.param)
    if reason := found.unavailable():
        assert "\n" not in reason
        pytest.skip(reason)
    return found


@pytest.fixture(params=["image_case", "text_case", "sound_case"])
def case(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def reference(case: Any, feeds: dict[str, np.ndarray], outputs: tuple[str, ...]) -> list[np.ndarray]:
    return ReferenceEvaluator(onnx.load(str(case.graph))).run(list(outputs), feeds)


def test_outputs_equal_the_onnx_reference(engine: Engine, case: Any) -> None:
    session = engine.open(case.graph, case.outputs, "fp32", 1)
    feeds = case.feeds(3) if "image" in case.feeds.__name__ else case.feeds(3, 9)
    for got, wanted in zip(session.run(feeds), reference(case, feeds, case.outputs), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-5)


def test_outputs_come_as_asked(engine: Engine, case: Any) -> None:
    asked = (case.outputs[-1], case.outputs[0])
    feeds = case.feeds(2) if "image" in case.feeds.__name__ else case.feeds(2, 7)
    got = engine.open(case.graph, asked, "fp32", 1).run(feeds)
    assert len(got) == 2
    for value, wanted in zip(got, reference(case, feeds, asked), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=2e-4, atol=2e-5)


def test_batch_and_length_are_free(engine: Engine, text_case: Any) -> None:
    session = engine.open(text_case.graph, text_case.outputs, "fp32", 1)
    for n, length in ((1, 2), (5, 13), (2, 40), (5, 13)):
        feeds = text_case.feeds(n, length, seed=length)
        for got, wanted in zip(session.run(feeds), reference(text_case, feeds, text_case.outputs), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-5)


def test_the_length_of_a_sound_is_free(engine: Engine, sound_case: Any) -> None:
    session = engine.open(sound_case.graph, sound_case.outputs, "fp32", 1)
    # Not of a single position first: OpenVINO 2026.4's attention is wrong after that; no source takes so short a sound.
    for n, length in ((1, 10), (2, 30), (1, 31), (1, 399), (2, 30)):
        feeds = sound_case.feeds(n, length, seed=length)
        for got, wanted in zip(session.run(feeds), reference(sound_case, feeds, sound_case.outputs), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-5)


def test_padding_does_not_change_an_item(engine: Engine, text_case: Any) -> None:
    session = engine.open(text_case.graph, text_case.outputs, "fp32", 1)
    feeds = text_case.feeds(3, 8)
    padded = {name: np.pad(values, ((0, 0), (0, 5))) for name, values in feeds.items()}
    for short, long in zip(session.run(feeds), session.run(padded), strict=True):
        np.testing.assert_allclose(short, long, rtol=1e-4, atol=1e-5)


def test_four_threads_at_once(engine: Engine, case: Any) -> None:
    session = engine.open(case.graph, case.outputs, "fp32", 1)
    image = "image" in case.feeds.__name__
    batches = [case.feeds(1 + k % 3, seed=k) if image else case.feeds(1 + k % 3, 3 + k % 7, seed=k) for k in range(24)]
    alone = [session.run(feeds) for feeds in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(session.run, batches))
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_results_outlive_the_next_call(engine: Engine, image_case: Any) -> None:
    session = engine.open(image_case.graph, image_case.outputs, "fp32", 1)
    first = session.run(image_case.feeds(2, seed=0))
    kept = [values.copy() for values in first]
    session.run(image_case.feeds(2, seed=1))
    for values, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(values, copy)


def test_an_unknown_output_is_named(engine: Engine, image_case: Any) -> None:
    with pytest.raises(EngineError, match=r"no output 'stage1\.men'.*'stage1\.mean'"):
        engine.open(image_case.graph, ["stage1.men"], "fp32", 1)


@pytest.mark.parametrize("damage", ["missing", "empty", "noise", "cut"])
def test_a_broken_file_is_an_engine_error(engine: Engine, image_case: Any, tmp_path: Path, damage: str) -> None:
    broken = tmp_path / "broken.onnx"
    content = image_case.graph.read_bytes()
    parts = {"empty": b"", "noise": bytes(range(256)) * 8, "cut": content[: len(content) // 2]}
    if damage in parts:
        broken.write_bytes(parts[damage])
    with pytest.raises(EngineError, match=r"broken\.onnx") as caught:
        engine.open(broken, ["stage1.mean"], "fp32", 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("feeds", [{"picture": np.zeros((1, 3, 32, 32), np.float32)}, {}])
def test_wrong_feeds_are_an_engine_error(engine: Engine, image_case: Any, feeds: dict[str, np.ndarray]) -> None:
    session = engine.open(image_case.graph, image_case.outputs, "fp32", 1)
    with pytest.raises(EngineError, match="could not run"):
        session.run(feeds)


def test_precisions_start_with_fp32_and_run(engine: Engine, image_case: Any) -> None:
    precisions = engine.precisions()
    assert precisions[0] == "fp32"
    wanted = reference(image_case, image_case.feeds(4), image_case.outputs)
    for precision in precisions:
        if precision != "int8":  # a quantised graph is its own file: test_quantise.py
            got = engine.open(image_case.graph, image_case.outputs, precision, 1).run(image_case.feeds(4))
            for a, b in zip(got, wanted, strict=True):
                np.testing.assert_allclose(a, b, rtol=0.05, atol=0.05)


def test_a_precision_that_is_not_there_is_refused_not_replaced(engine: Engine, image_case: Any) -> None:
    if "bf16" in engine.precisions():
        pytest.skip("bf16 is native here")
    with pytest.raises(EngineError, match="no bf16"):
        engine.open(image_case.graph, image_case.outputs, "bf16", 1)
