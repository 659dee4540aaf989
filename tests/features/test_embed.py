"""Embedding with a small graph on ONNX Runtime: right rows, each item once, and an end that loses nothing."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from headstart.engines.base import Feeds
from headstart.engines.choose import open_graph
from headstart.engines.memory import Choice
from headstart.errors import EngineError
from headstart.features import encoder, files, ledger, paged, spaces
from headstart.features.described import describe_files
from headstart.features.embed import embed
from headstart.features.hog import describe_rows
from headstart.features.images import look, prepare
from headstart.features.readers import READERS
from headstart.sources.base import ImageInput, Source, Tap, TextInput

LOOK = ImageInput(size=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
READ = TextInput(max_tokens=40)
SETTLED = 3_000_000_000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    # Files of a test are fresh; here they count as settled at once.
    monkeypatch.setattr(files, "_SETTLED_NS", 0)


class Counting:
    """A session that counts what it runs, and can be told to do something first."""

    def __init__(self) -> None:
        self.items = 0
        self.opened = 0
        self.before = lambda feeds: None
        self._session = None
        self._lock = threading.Lock()

    def open(self, source: Source, choice: Choice, outputs: list[str], **_: object) -> Counting:
        self.opened += 1
        self._session = open_graph(source.graph, outputs)
        return self

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        self.before(feeds)
        with self._lock:
            self.items += len(next(iter(feeds.values())))
        return self._session.run(feeds)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    found = Counting()
    monkeypatch.setattr(encoder, "open_session", found.open)
    return found


class Listening:
    """A Progress that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bars: list[tuple] = []
        self.steps = self.cached = 0

    def advance(self, steps: int = 1, *, cached: bool = False) -> None:
        self.steps += steps
        self.cached += cached * steps

    @contextmanager
    def bar(self, *described: object) -> Iterator[Listening]:
        self.bars.append(described)
        yield self

    def say(self, line: str) -> None:
        self.lines.append(line)


def choice(workers: int = 2, precision: str = "fp32", engine: str = "onnxruntime") -> Choice:
    return Choice(engine, precision, 1, workers, 1.0)


def image_source(folder: Path) -> Source:
    """mean: the channels' means (3); max: the maxima of a convolution (5)."""
    rng = np.random.default_rng(0)
    weights = numpy_helper.from_array(rng.normal(size=(5, 3, 3, 3)).astype(np.float32), "w")
    axes = numpy_helper.from_array(np.array([2, 3]), "axes")
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["a.mean"], keepdims=0),
        helper.make_node("Conv", ["image", "w"], ["c"]),
        helper.make_node("ReduceMax", ["c", "axes"], ["b.max"], keepdims=0),
    ]
    taps = (Tap("a.mean", 0, "mean", 3), Tap("b.max", 1, "max", 5))
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 16, 16])]
    return saved(folder, "image", nodes, inputs, [weights, axes], taps, LOOK)


def text_source(folder: Path) -> Source:
    """mean: the masked mean of 4-dimensional word vectors."""
    table = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    constants = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "axes")]
    constants.append(numpy_helper.from_array(np.array([2]), "last"))
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "last"], ["mask"]),
        helper.make_node("Mul", ["vectors", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "axes"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "axes"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["a.mean"]),
    ]
    names = ("input_ids", "attention_mask")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in names]
    found = saved(folder, "text", nodes, inputs, constants, (Tap("a.mean", 0, "mean", 4),), READ)
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(60)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(found.tokenizer))
    return found


def saved(folder, modality, nodes, inputs, constants, taps, how) -> Source:
    outputs = [helper.make_tensor_value_info(tap.name, TensorProto.FLOAT, ["n", tap.width]) for tap in taps]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    folder.mkdir(exist_ok=True)
    onnx.save(model, str(folder / "graph.onnx"))
    return Source("tiny", modality, "test", "none", 1, f"{modality}-fingerprint", folder, how, taps)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = [folder / f"{i:03d}.png" for i in range(40)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
    return paths


def expected_rows(source: Source, paths: list[Path]) -> np.ndarray:
    """All images at once, straight through ONNX Runtime."""
    session = open_graph(source.graph, [tap.name for tap in source.taps])
    return np.concatenate(session.run({"image": np.stack([prepare(path, LOOK) for path in paths])}), axis=1)


def test_rows_are_the_graphs_in_order(tmp_path: Path, pictures: list[Path], counting: Counting) -> None:
    source = image_source(tmp_path / "source")
    heard = Listening()
    got = embed(pictures, source, choice=choice(), progress=heard)
    assert got.matrix.dtype == np.float16
    np.testing.assert_allclose(got.matrix, expected_rows(source, pictures), rtol=2e-3, atol=1e-3)
    assert (got.taps, got.failures, got.cached, got.described) == (source.taps, {}, 0, None)
    assert got.seconds > 0
    assert heard.bars == [("embed", "tiny", 40, "images")]
    assert heard.steps == 40
    assert heard.lines == []


@pytest.mark.parametrize("use_cache", [True, False])
def test_values_do_not_depend_on_workers(tmp_path: Path, pictures: list[Path], use_cache: bool) -> None:
    source = image_source(tmp_path / "source")
    one, three = (
        embed(pictures, source, choice=choice(workers, precision), use_cache=use_cache, described=True)
        for workers, precision in ((1, "fp32"), (3, "bf16"))
    )
    np.testing.assert_array_equal(one.matrix, three.matrix)
    np.testing.assert_array_equal(one.described, three.described)


def test_a_matrix_in_a_file_is_the_same(
    tmp_path: Path, pictures: list[Path], counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = image_source(tmp_path / "source")
    items = [*pictures, tmp_path / "absent.png", pictures[0]]
    plain = embed(items, source, choice=choice(), use_cache=False)
    monkeypatch.setattr(paged, "LARGE", 0)
    monkeypatch.setattr(paged, "STEP", 7 * 16)
    for cached in (0, 41):
        got = embed(items, source, choice=choice())
        assert paged.in_file(got.matrix)
        assert (got.cached, got.failures) == (cached, plain.failures)
        np.testing.assert_array_equal(got.matrix, plain.matrix)


def test_the_second_time_nothing_is_run(tmp_path: Path, pictures: list[Path], counting: Counting) -> None:
    source = image_source(tmp_path / "source")
    first = embed(pictures, source, choice=choice())
    heard = Listening()
    second = embed(pictures, source, choice=choice(), progress=heard)
    assert (counting.items, counting.opened) == (40, 1)
    assert (second.cached, heard.steps, heard.cached) == (40, 40, 40)
    np.testing.assert_array_equal(first.matrix, second.matrix)


def test_the_same_source_by_another_name_is_a_hit(tmp_path: Path, pictures: list[Path], counting: Counting) -> None:
    source = image_source(tmp_path / "source")
    first = embed(pictures, source, choice=choice())
    again = embed(pictures, replace(source, name="a copy"), choice=choice())
    assert (counting.items, again.cached) == (40, 40)
    np.testing.assert_array_equal(first.matrix, again.matrix)


def test_known_files_are_not_even_read(
    tmp_path: Path, pictures: list[Path], counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = image_source(tmp_path / "source")
    embed(pictures, source, choice=choice())
    monkeypatch.setattr("headstart.features.stream.read_file", lambda path: pytest.fail(f"{path} was read"))
    assert embed(pictures, source, choice=choice()).cached == 40


def test_the_same_image_elsewhere_is_a_hit(tmp_path: Path, pictures: list[Path], counting: Counting) -> None:
    source = image_source(tmp_path / "source")
    first = embed(pictures, source, choice=choice())
    copies = [Path(shutil.copy(path, tmp_path / f"copy-{path.name}")) for path in reversed(pictures)]
    heard = Listening()
    again = embed(copies, source, choice=choice(), progress=heard)
    assert (counting.items, counting.opened, again.cached) == (40, 1, 40)
    assert (heard.steps, heard.cached) == (40, 40)
    np.testing.assert_array_equal(again.matrix, first.matrix[::-1])


def test_a_changed_file_is_seen(tmp_path: Path, pictures: list[Path], counting: Counting) -> None:
    source = image_source(tmp_path / "source")
    embed(pictures, source, choice=choice())
    shutil.copy(pictures[1], pictures[0])
    Image.new("RGB", (9, 9), "red").save(pictures[2])
    got = embed(pictures, source, choice=choice())
    assert counting.items == 41
    assert got.cached == 39
    np.testing.assert_allclose(got.matrix, expected_rows(source, pictures), rtol=2e-3, atol=1e-3)


def test_a_file_just_written_is_read_again(
    tmp_path: Path, pictures: list[Path], counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_SETTLED_NS", SETTLED)
    assert files.file_key(pictures[0]) is None
    source = image_source(tmp_path / "source")
    embed(pictures, source, choice=choice())
    assert embed(pictures, source, choice=choice()).cached == 40
    assert counting.items == 40


@pytest.mark.parametrize("use_cache", [True, False])
def test_doubles_are_run_once(tmp_path: Path, pictures: list[Path], counting: Counting, use_cache: bool) -> None:
    source = image_source(tmp_path / "source")
    copies = [Path(shutil.copy(path, tmp_path / f"copy-{path.name}")) for path in pictures]
    heard = Listening()
    got = embed([*pictures, *copies, pictures[0]], source, choice=choice(), use_cache=use_cache, progress=heard)
    assert (counting.items, heard.steps) == (40, 81)
    np.testing.assert_array_equal(got.matrix[:40], got.matrix[40:80])
    np.testing.assert_array_equal(got.matrix[80], got.matrix[0])


def test_failures_have_reasons_and_zero_rows(tmp_path: Path, pictures: list[Path]) -> None:
    source = image_source(tmp_path / "source")
    pictures[3].write_bytes(pictures[3].read_bytes()[:200])
    pictures[7].write_text("words")
    items = [*pictures, tmp_path / "absent.png", Path(shutil.copy(pictures[3], tmp_path / "double.png"))]
    for _ in range(2):
        heard = Listening()
        got = embed(items, source, choice=choice(), described=True, progress=heard)
        assert list(got.failures) == [3, 7, 40, 41]
        assert "damaged or incomplete" in got.failures[3]
        assert got.failures[3] == got.failures[41]
        assert "not an image" in got.failures[7]
        assert "cannot be read" in got.failures[40]
        assert not got.matrix[[3, 7, 40, 41]].any()
        assert heard.steps == 42
    assert got.cached == 38
    everything = embed(items[40:41], source, choice=choice())
    assert list(everything.failures) == [0]
    assert embed([], source, choice=choice()).matrix.shape == (0, 8)


def test_descriptors_come_from_the_cache_too(tmp_path: Path, pictures: list[Path], counting: Counting) -> None:
    source = image_source(tmp_path / "source")
    expected = describe_rows(np.stack([look(path, None, thumbnail=True).thumbnail for path in pictures]))
    embed(pictures[:20], source, choice=choice())
    for _ in range(2):
        got = embed(pictures, source, choice=choice(), described=True)
        np.testing.assert_array_equal(got.described, expected)
        assert counting.items == 40  # those whose row is known are decoded to be described, not run again
    described, failures = describe_files([*pictures, tmp_path / "absent.png"], READERS["image"])
    np.testing.assert_array_equal(described[:40], expected)
    assert list(failures) == [40]


def test_infinite_and_missing_numbers(tmp_path: Path, pictures: list[Path], counting: Counting) -> None:
    source = image_source(tmp_path / "source")
    values = iter([1e9, -np.inf, np.nan])
    counting.run = lambda feeds: [np.full((1, 3), next(values), np.float32), np.ones((1, 5), np.float32)]
    got = embed(pictures[:3], source, choice=choice(1))
    np.testing.assert_array_equal(got.matrix[:, 0], [65504, -65504, 0])
    assert list(got.failures) == [2]
    assert "NaN" in got.failures[2]


def test_an_interrupted_run_keeps_what_is_done(tmp_path: Path, pictures: list[Path], counting: Counting) -> None:
    source = image_source(tmp_path / "source")

    class Impatient(Listening):
        def advance(self, steps: int = 1, *, cached: bool = False) -> None:
            super().advance(steps, cached=cached)
            if self.steps >= 16:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(pictures, source, choice=choice(1), progress=Impatient())
    done = counting.items
    got = embed(pictures, source, choice=choice(1))
    assert got.cached >= 16
    assert counting.items < done + 40 - 15
    np.testing.assert_allclose(got.matrix, expected_rows(source, pictures), rtol=2e-3, atol=1e-3)
    assert threading.active_count() == 1


def test_an_engine_that_fails_ends_the_run(tmp_path: Path, pictures: list[Path], counting: Counting) -> None:
    def fail(feeds: Feeds) -> None:
        if counting.items >= 10:
            raise EngineError("out of memory")

    source = image_source(tmp_path / "source")
    counting.before = fail
    with pytest.raises(EngineError, match="out of memory"):
        embed(pictures, source, choice=choice(1))
    counting.before = lambda feeds: None
    assert embed(pictures, source, choice=choice(1)).cached == 8


def test_an_engine_that_no_longer_opens_leaves_nothing_under_its_name(tmp_path: Path, pictures: list[Path]) -> None:
    """Half of the rows are known from the precision that is gone: all are computed anew, and kept as what they are."""
    source = image_source(tmp_path / "source")
    gone = choice(engine="no-such-engine", precision="bf16")
    heard = Listening()
    got = embed(pictures, source, choice=gone, progress=heard)
    assert len(heard.lines) == 1
    assert "onnxruntime fp32 is used" in heard.lines[0]
    assert got.choice is not None
    assert (got.choice.engine, got.choice.precision) == ("onnxruntime", "fp32")
    np.testing.assert_allclose(got.matrix, expected_rows(source, pictures), rtol=2e-3, atol=1e-3)
    (space,) = [one for one in spaces.usage() if one.source == "tiny" and one.items]
    assert space.items == 40
    assert embed(pictures, source, choice=choice()).cached == 40  # of fp32


def test_rows_of_two_precisions_do_not_meet(
    tmp_path: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = image_source(tmp_path / "source")
    bf16 = choice(precision="bf16")
    with monkeypatch.context() as before:
        before.setattr(encoder, "open_session", lambda source, *_, **__: _Ones())
        assert (embed(pictures[:20], source, choice=bf16).matrix == 1).all()
    got = embed(pictures, source, choice=bf16)  # ONNX Runtime has no bf16
    assert got.cached == 0
    np.testing.assert_allclose(got.matrix, expected_rows(source, pictures), rtol=2e-3, atol=1e-3)
    again = embed(pictures[:20], source, choice=bf16)
    assert (again.matrix == 1).all()
    assert again.choice == bf16


class _Ones:
    """A session of another precision, by far."""

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        return [np.ones((1, 3), np.float32), np.ones((1, 5), np.float32)]


def test_results_reach_the_cache_while_it_runs(
    tmp_path: Path, pictures: list[Path], counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = image_source(tmp_path / "source")
    monkeypatch.setattr(ledger, "_FLUSH_SECONDS", 0.0)
    stored: list[int] = []

    class Watching(Listening):
        def advance(self, steps: int = 1, *, cached: bool = False) -> None:
            super().advance(steps, cached=cached)
            stored.append(sum(one.items for one in spaces.usage() if one.source == "tiny"))

    embed(pictures, source, choice=choice(), progress=Watching())
    assert stored == [0, 8, 16, 24, 32, 40]


def test_a_broken_cache_is_told_once(tmp_path: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blocked").write_text("a file")
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "blocked"))
    source = image_source(tmp_path / "source")
    heard = Listening()
    got = embed(pictures, source, choice=choice(), progress=heard, described=True)
    np.testing.assert_allclose(got.matrix, expected_rows(source, pictures), rtol=2e-3, atol=1e-3)
    (line,) = heard.lines
    assert line.startswith("feature cache off: ")


def test_few_items_are_on_their_way_at_a_time(tmp_path: Path, pictures: list[Path], counting: Counting) -> None:
    source = image_source(tmp_path / "source")
    ahead: list[int] = []

    class Slow(Listening):
        def advance(self, steps: int = 1, *, cached: bool = False) -> None:
            super().advance(steps, cached=cached)
            threading.Event().wait(0.02)
            ahead.append(counting.items - self.steps)

    embed(pictures * 1, source, choice=choice(1), progress=Slow())
    assert max(ahead) <= 3 * 8


def words(rng: np.random.Generator, count: int) -> str:
    return " ".join(f"w{i}" for i in rng.integers(0, 60, count))


@pytest.mark.parametrize("workers", [1, 3])
def test_texts(tmp_path: Path, counting: Counting, workers: int) -> None:
    source = text_source(tmp_path / "source")
    rng = np.random.default_rng(0)
    written = [words(rng, n) for n in rng.integers(1, 60, 150)]
    table = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    expected = [np.mean([table[int(word[1:])] for word in text.split()[:40]], axis=0) for text in written]
    heard = Listening()
    items = [*written, written[5], "  ", written[9]]
    got = embed(items, source, choice=choice(workers), progress=heard)
    np.testing.assert_allclose(got.matrix[:150], expected, rtol=2e-3, atol=1e-3)
    np.testing.assert_array_equal(got.matrix[[150, 152]], got.matrix[[5, 9]])
    assert got.failures == {151: "the text is empty; expected words"}
    assert heard.bars == [("embed", "tiny", 153, "texts")]
    assert (heard.steps, counting.items, got.cached) == (153, 150, 0)
    more = embed([*items[::-1], "w1 w2"], source, choice=choice(workers))
    np.testing.assert_array_equal(more.matrix[:-1], got.matrix[::-1])
    assert (counting.items, more.cached) == (151, 152)


def test_a_gpu_runs_batches_in_the_callers_thread(
    tmp_path: Path, pictures: list[Path], counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cuda:
        device = "cuda"

    monkeypatch.setattr("headstart.registry.get", lambda group, name: Cuda())
    monkeypatch.setattr(counting, "open", lambda *_, **__: counting)
    monkeypatch.setattr("headstart.features.stream._MANY", 16)
    source = image_source(tmp_path / "source")
    whole = expected_rows_without_registry(source)
    counting._session = whole
    seen: list[tuple[int, str]] = []
    counting.before = lambda feeds: seen.append((len(feeds["image"]), threading.current_thread().name))
    monkeypatch.setattr(encoder, "open_session", lambda *_, **__: counting)
    got = embed(pictures, source, choice=choice(engine="torch-cuda"))
    assert seen == [(16, "MainThread"), (16, "MainThread"), (8, "MainThread")]
    expected = np.concatenate(whole.run({"image": np.stack([prepare(path, LOOK) for path in pictures])}), axis=1)
    np.testing.assert_allclose(got.matrix, expected, rtol=2e-3, atol=1e-3)


def expected_rows_without_registry(source: Source):
    """The graph on ONNX Runtime itself."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(source.graph), providers=["CPUExecutionProvider"])

    class Plain:
        def run(self, feeds: Feeds) -> list[np.ndarray]:
            return session.run([tap.name for tap in source.taps], dict(feeds))

    return Plain()
