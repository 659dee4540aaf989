"""Measuring, choosing, remembering, opening."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart import paths, registry
from headstart.engines import memory
from headstart.engines.base import Precision, Session
from headstart.engines.choose import (
    Choice,
    EngineGoneError,
    Measured,
    adopt,
    choose,
    fastest,
    forget_if_far_off,
    measure,
    open_graph,
    open_like,
    open_session,
)
from headstart.engines.measure import ACCURACY_LOSS, COSINE_MEAN, FEWEST, GROUP, LONGEST_PASS, _candidates
from headstart.engines.onnxruntime import OnnxRuntime
from headstart.engines.openvino import OpenVino
from headstart.engines.probe import probe
from headstart.engines.processor import processor
from headstart.errors import EngineError, OptionError
from headstart.sources.base import GRAPH_FILE, Source


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("headstart.engines.measure.LONGEST_PASS", LONGEST_PASS)
    monkeypatch.setattr("headstart.engines.measure._candidates", _candidates)


def one(engine: str, precision: Any, speed: float, accepted: bool = True) -> Measured:
    return Measured(engine, precision, 2, 1, speed, 1.0, 1.0, 1.0, accepted, "")


def test_the_reference_is_first_and_true(image_source: Source) -> None:
    found = measure(image_source)
    assert (found[0].engine, found[0].precision, found[0].accepted) == ("onnxruntime", "fp32", True)
    assert found[0].cosine_min == pytest.approx(1)
    for row in found:
        assert row.items_per_second > 0
        if row.accepted:
            assert row.cosine_mean >= COSINE_MEAN


def test_every_measures_all_and_says_why_not(text_source: Source, listener: Any) -> None:
    found = measure(text_source, every=True, progress=listener)
    assert {row.engine for row in found} == set(registry.names(GROUP))
    assert len(found) == 3 * len(registry.names(GROUP)) == listener.bars["engines"]
    assert all(row.reason for row in found)
    bf16 = next(row for row in found if (row.engine, row.precision) == ("onnxruntime", "bf16"))
    assert not bf16.accepted
    assert "no bf16" in bf16.reason


class _Bent:
    """An engine whose features are not the features."""

    device = "cpu"

    def __init__(self, noise: float) -> None:
        self.noise = noise

    def unavailable(self) -> None:
        return None

    def precisions(self) -> tuple[str, ...]:
        return ("fp32",)

    def open(self, graph: Path, outputs: Any, precision: Any, threads: int) -> Any:
        inner, noise = open_graph(graph, outputs), self.noise

        class Session:
            def run(self, feeds: Any) -> list[np.ndarray]:
                rng = np.random.default_rng(0)
                return [x + noise * x.std() * rng.standard_normal(x.shape).astype(np.float32) for x in inner.run(feeds)]

        return Session()


@pytest.mark.parametrize(("noise", "accepted"), [(0.001, True), (2.0, False)])
def test_features_that_are_not_true_are_refused(
    image_source: Source, monkeypatch: pytest.MonkeyPatch, noise: float, accepted: bool
) -> None:
    real = registry.get
    monkeypatch.setattr(registry, "names", lambda group: ("onnxruntime", "bent"))
    monkeypatch.setattr(registry, "get", lambda group, name: _Bent(noise) if name == "bent" else real(group, name))
    bent = next(row for row in measure(image_source) if row.engine == "bent")
    if "stopped" not in bent.reason:  # a busy machine can make any engine look hopeless
        assert bent.accepted is accepted
        assert ("not true" in bent.reason) is not accepted


def test_a_probe_too_small_for_the_tolerance_says_so(image_source: Source) -> None:
    n = len(probe(image_source))
    assert 1 / n > ACCURACY_LOSS
    assert "one item of" in measure(image_source)[0].reason


def test_what_a_full_measurement_says_is_remembered(image_source: Source, listener: Any) -> None:
    rows = [one("onnxruntime", "fp32", 100), one("openvino", "fp32", 120)]
    assert adopt(image_source, rows, progress=listener) == choose(image_source) == fastest(rows)
    assert adopt(image_source, [one("openvino", "fp32", 90)], progress=listener).items_per_second == 90
    assert listener.lines == []
    adopt(image_source, rows[:1], progress=listener)
    assert choose(image_source).engine == "onnxruntime"
    (line,) = listener.lines
    assert "onnxruntime fp32 is used from now on, no longer openvino fp32, which was remembered" in line


def test_where_no_engine_is_true_what_was_remembered_stays(image_source: Source) -> None:
    known = adopt(image_source, [one("openvino", "fp32", 120)])
    with pytest.raises(EngineError, match="no engine"):
        adopt(image_source, [one("onnxruntime", "fp32", 100, accepted=False)])
    assert choose(image_source) == known


def test_the_fastest_true_one_wins() -> None:
    rows = [one("onnxruntime", "fp32", 100), one("openvino", "fp32", 120), one("openvino", "int8", 300, accepted=False)]
    assert fastest(rows) == Choice("openvino", "fp32", 1, 2, 120)
    assert fastest([*rows, one("openvino", "bf16", 125)]).precision == "fp32"  # not worth it
    assert fastest([*rows, one("openvino", "bf16", 140)]).precision == "bf16"
    with pytest.raises(EngineError, match="no engine"):
        fastest([rows[-1]])


def test_a_choice_is_remembered(image_source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    first = choose(image_source)
    monkeypatch.setattr("headstart.engines.choose.measure", lambda *a, **k: pytest.fail("measured again"))
    assert choose(image_source) == first
    with pytest.raises(pytest.fail.Exception):
        choose(replace(image_source, fingerprint="c" * 64))


def test_another_machine_measures_anew(image_source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.remember(image_source, Choice("openvino", "fp32", 1, 2, 10.0))
    other = replace(processor(), name="another")
    monkeypatch.setattr(memory, "processor", lambda: other)
    assert memory.recall(image_source) is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"format": 1}', '{"format": 1, "choices": []}', "[" * 9999]
)
def test_a_file_that_is_not_ours_is_empty(image_source: Source, content: str) -> None:
    paths.engines_file().parent.mkdir(parents=True)
    paths.engines_file().write_text(content, encoding="utf-8")
    assert memory.recall(image_source) is None


GOOD = {"engine": "openvino", "precision": "fp32", "threads": 1, "workers": 2, "items_per_second": 10.0}


@pytest.mark.parametrize(
    "bad",
    [
        5,
        GOOD | {"engine": "rm"},
        GOOD | {"engine": ["openvino"]},
        GOOD | {"precision": "fp8"},
        GOOD | {"threads": 1e9},
        GOOD | {"workers": True},
        GOOD | {"items_per_second": float("nan")},
        GOOD | {"more": 1},
    ],
)
def test_a_damaged_memory_is_ignored_and_rewritten(image_source: Source, bad: object) -> None:
    paths.engines_file().parent.mkdir(parents=True)
    document = {"format": memory.FORMAT, "choices": {memory.key(image_source): bad}}
    paths.engines_file().write_text(json.dumps(document), encoding="utf-8")
    assert memory.recall(image_source) is None
    choice = Choice("onnxruntime", "fp32", 1, 2, 10.0)
    memory.remember(image_source, choice)
    assert memory.recall(image_source) == choice
    assert [path.name for path in paths.home().iterdir()] == [paths.engines_file().name]


def test_others_choices_are_kept(image_source: Source, text_source: Source) -> None:
    for source in (image_source, text_source):
        memory.remember(source, Choice("onnxruntime", "fp32", 1, 2, 10.0))
    assert memory.recall(image_source) is not None
    assert len(json.loads(paths.engines_file().read_text())["choices"]) == 2


def test_a_memory_that_cannot_be_written_is_said(image_source: Source, listener: Any, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be", encoding="utf-8")
    assert choose(image_source, progress=listener).engine
    assert "could not be kept" in listener.lines[0]


def test_an_engine_that_no_longer_loads_names_what_to_use_instead(image_source: Source) -> None:
    gone = Choice("no-such-engine", "int8", 1, 2, 10.0)
    with pytest.raises(EngineGoneError, match="onnxruntime fp32 is used") as caught:
        open_session(image_source, gone, ["head.mean"])
    instead = caught.value.instead
    assert (instead.engine, instead.precision) == ("onnxruntime", "fp32")
    session = open_session(image_source, instead, ["head.mean"])
    assert session.run(probe(image_source).feeds[0])[0].shape == (1, 24)
    with pytest.raises(EngineError, match="no output") as unknown:
        open_session(image_source, instead, ["nothing"])
    assert not isinstance(unknown.value, EngineGoneError)


class _Slowed:
    """ONNX Runtime on a machine that something else keeps busy in the first calls."""

    device = "cpu"

    def __init__(self, seconds: float, calls: int) -> None:
        self.seconds = seconds
        self.calls = calls

    def unavailable(self) -> None:
        return None

    def precisions(self) -> tuple[str, ...]:
        return ("fp32",)

    def open(self, graph: Path, outputs: Any, precision: Any, threads: int) -> Any:
        inner, engine = OnnxRuntime().open(graph, outputs, "fp32", 1), self

        class Session:
            def run(self, feeds: Any) -> list[np.ndarray]:
                engine.calls -= 1
                time.sleep(engine.seconds if engine.calls >= 0 else 0.001)
                return inner.run(feeds)

        return Session()


def test_a_moment_of_other_work_decides_nothing(image_source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference takes 1 ms a batch, the other 20; but the reference is disturbed throughout its first pass."""
    calls = 4 + FEWEST  # the estimate's, and one an image
    monkeypatch.setattr("headstart.engines.measure.LONGEST_PASS", 0.0)
    engines = {"onnxruntime": _Slowed(0.06, calls), "steady": _Slowed(0.02, 10**9)}
    monkeypatch.setattr(registry, "names", lambda group: tuple(engines))
    disturbed = engines["onnxruntime"]
    monkeypatch.setattr(registry, "get", lambda group, name: engines[name])
    monkeypatch.setattr("headstart.engines.measure.HOPELESS", 100.0)
    once = measure_once(image_source, monkeypatch)
    disturbed.calls = calls
    assert fastest(once).engine == "steady"
    assert fastest(measure(image_source)).engine == "onnxruntime"


def test_a_busy_machine_does_not_make_the_check_of_the_features_coarse(
    image_source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe cut to what a slow moment allows would have a tolerance of one item in 32."""
    busy = _Slowed(0.3, 4)  # while it is estimated
    monkeypatch.setattr(registry, "names", lambda group: ("onnxruntime",))
    monkeypatch.setattr(registry, "get", lambda group, name: busy)
    assert f"one item of {len(probe(image_source))}" in measure(image_source)[0].reason


def measure_once(source: Source, monkeypatch: pytest.MonkeyPatch) -> list[Measured]:
    with monkeypatch.context() as without:
        without.setattr("headstart.engines.measure.ROUNDS", 0)
        return measure(source)


def test_a_choice_made_on_a_busy_machine_is_forgotten(image_source: Source) -> None:
    choice = Choice("onnxruntime", "fp32", 1, 2, 100.0)
    for items, seconds, forgotten in [
        (1000, 1000 * 2 / 190, False),  # 190 a second of both workers: not twice as fast
        (99, 99 * 2 / 300, False),  # too few to tell
        (1000, 1000 * 2 / 20, False),  # slower: the machine is busy now
        (1000, 1000 * 2 / 210, True),
    ]:
        memory.remember(image_source, choice)
        assert forget_if_far_off(image_source, choice, items, seconds) is forgotten
        assert (memory.recall(image_source) is None) is forgotten
    other = replace(choice, engine="openvino")
    memory.remember(image_source, other)
    assert not forget_if_far_off(image_source, choice, 1000, 1.0)  # another choice than the one that ran
    assert memory.recall(image_source) == other


def test_only_one_choice_is_forgotten(image_source: Source, text_source: Source) -> None:
    for source in (image_source, text_source):
        memory.remember(source, Choice("onnxruntime", "fp32", 1, 2, 10.0))
    memory.forget(image_source)
    assert memory.recall(image_source) is None
    assert memory.recall(text_source) is not None
    memory.forget(image_source)


def test_int8_is_opened_from_its_own_graph(image_source: Source) -> None:
    session = open_session(image_source, Choice("onnxruntime", "int8", 1, 2, 1.0), ["head.mean"])
    assert (image_source.directory / "graph.int8.onnx").is_file()
    assert session.run(probe(image_source).feeds[0])[0].dtype == np.float32


def test_open_graph(image_source: Source) -> None:
    feeds = probe(image_source).feeds[0]
    default = open_graph(image_source.graph, ["head.max"]).run(feeds)[0]
    other = open_graph(image_source.graph, ["head.max"], engine="openvino", threads=2).run(feeds)[0]
    np.testing.assert_allclose(default, other, atol=1e-4)
    with pytest.raises(OptionError, match="did you mean 'openvino'"):
        open_graph(image_source.graph, ["head.max"], engine="openvin")


def test_a_graph_runs_as_it_did_elsewhere(image_source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor that has the precision, in it; on any other, and without that engine, in fp32."""
    feeds, graphs = probe(image_source).feeds[0], {"fp32": image_source.graph}
    true = open_graph(image_source.graph, ["head.mean"]).run(feeds)[0]
    opened: list[tuple[str, str]] = []

    class Spy(OpenVino):
        able: tuple[Precision, ...] = ("fp32",)

        def precisions(self) -> tuple[Precision, ...]:
            return self.able

        def open(self, graph: Path, outputs: Sequence[str], precision: Precision, threads: int) -> Session:
            opened.append(("openvino", precision))
            return super().open(graph, outputs, "fp32", threads)  # runs on every processor

    get = registry.get
    monkeypatch.setattr(registry, "get", lambda group, name: Spy() if name == "openvino" else get(group, name))
    elsewhere = open_like(graphs, ["head.mean"], engine="openvino", precision="bf16")
    np.testing.assert_array_equal(elsewhere.run(feeds)[0], true)
    gone = open_like(graphs, ["head.mean"], engine="a-plug-in", precision="bf16")
    np.testing.assert_array_equal(gone.run(feeds)[0], true)
    assert opened == []
    monkeypatch.setattr(Spy, "able", ("fp32", "bf16"))
    here = open_like(graphs, ["head.mean"], engine="openvino", precision="bf16")
    np.testing.assert_allclose(here.run(feeds)[0], true, atol=1e-4)
    assert opened == [("openvino", "bf16")]


def test_no_engine_at_all(image_source: Source) -> None:
    (image_source.directory / GRAPH_FILE).write_bytes(b"damaged")
    with pytest.raises(EngineError, match="damaged"):
        choose(image_source)


WARM = """
import sys
from headstart.engines.choose import choose
from headstart.sources.base import ImageInput, Source
from pathlib import Path
given = ImageInput(32, (0, 0, 0), (1, 1, 1))
source = Source("small-image", "image", "test", "x", 1, "a" * 64, Path("nowhere"), given, ())
print(choose(source).engine, *sorted({"torch", "onnxruntime", "openvino", "onnx", "sklearn"} & set(sys.modules)))
"""


def test_a_warm_choice_imports_no_engine(image_source: Source) -> None:
    memory.remember(image_source, Choice("openvino", "fp32", 1, 2, 10.0))
    done = subprocess.run([sys.executable, "-c", WARM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["openvino"]


SILENT = """
import sys
from headstart.engines.onnxruntime import OnnxRuntime
from headstart.engines.openvino import OpenVino
OpenVino().precisions()
assert "openvino" in sys.modules
assert "openvino_telemetry" not in sys.modules, "it reports home on import"
"""


def test_openvino_is_imported_without_telemetry() -> None:
    done = subprocess.run([sys.executable, "-c", SILENT], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
