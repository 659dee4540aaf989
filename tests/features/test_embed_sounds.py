"""Sounds through a small graph: right rows, independent of neighbours, each clip once, windows pooled."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from headstart.engines.memory import Choice
from headstart.features import files, stream
from headstart.features.described import describe_files
from headstart.features.embed import embed
from headstart.features.encoder import Encoder
from headstart.features.readers import READERS
from headstart.features.sound_baseline import describe
from headstart.features.sound_facts import beside_facts, facts
from headstart.features.sound_reader import SoundReader
from headstart.fronts import prepare
from headstart.sources.base import SoundInput, Source, Tap

sf = pytest.importorskip("soundfile")
pytest.importorskip("soxr")

HOW = SoundInput(8_000, 1.0, shortest=400, front="whisper", bands=16)
TAPS = (Tap("a.mean", 0, "mean", 16), Tap("a.std", 0, "std", 16), Tap("b.max", 1, "max", 16))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(files, "_SETTLED_NS", 0)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """mean, standard deviation and maximum of each mel band."""
    axes = numpy_helper.from_array(np.array([2]), "axes")
    nodes = [
        helper.make_node("ReduceMean", ["mel", "axes"], ["kept"], keepdims=1),
        helper.make_node("Squeeze", ["kept", "axes"], ["a.mean"]),
        helper.make_node("Sub", ["mel", "kept"], ["off"]),
        helper.make_node("Mul", ["off", "off"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "axes"], ["variance"], keepdims=0),
        helper.make_node("Sqrt", ["variance"], ["a.std"]),
        helper.make_node("ReduceMax", ["mel", "axes"], ["b.max"], keepdims=0),
    ]
    outputs = [helper.make_tensor_value_info(tap.name, TensorProto.FLOAT, ["n", tap.width]) for tap in TAPS]
    inputs = [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["n", 16, "t"])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, [axes])
    folder = tmp_path / "source"
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(folder / "graph.onnx"))
    return Source("tiny", "sound", "test", "none", 1, "sound-fingerprint", folder, HOW, TAPS)


def noise(rng: np.random.Generator, t: int) -> np.ndarray:
    return rng.normal(0, 0.1, t) * np.linspace(0.1, 1, t)


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    """Twenty, of a tenth of a second to two and a half, at the source's rate."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "clips"
    folder.mkdir()
    paths = [folder / f"{i:02d}.wav" for i in range(20)]
    for i, path in enumerate(paths):
        sf.write(path, noise(rng, 800 + 1_000 * i), 8_000, subtype="FLOAT")
    return paths


def choice(workers: int = 2) -> Choice:
    return Choice("onnxruntime", "fp32", 1, workers, 1.0)


def expected(path: Path) -> np.ndarray:
    """All windows' frames side by side: what the pooled row must be."""
    samples, _ = sf.read(path, dtype="float32")
    count = -(-len(samples) // 8_000)
    length = -(-len(samples) // count)
    starts = [round((len(samples) - length) * i / max(1, count - 1)) for i in range(count)]
    mel = np.concatenate([prepare(samples[s : s + length], HOW)["mel"][0] for s in starts], axis=1)
    return np.concatenate([mel.mean(1), mel.std(1), mel.max(1)])


def test_rows_are_the_graphs_and_windows_are_pooled(source, clips):
    got = embed(clips, source, choice=choice(), described=True)
    assert got.failures == {}
    np.testing.assert_allclose(got.matrix, [expected(path) for path in clips], rtol=3e-3, atol=3e-3)
    np.testing.assert_allclose(facts(got.described).seconds, [0.1 + 0.125 * i for i in range(20)], rtol=1e-3)


def test_a_row_does_not_depend_on_its_neighbours_or_workers(source, clips):
    whole = embed(clips, source, choice=choice(1), use_cache=False, described=True)
    other = embed(clips[::-1], source, choice=choice(3), use_cache=False, described=True)
    alone = embed(clips[7:8], source, choice=choice(), use_cache=False, described=True)
    for part in ("matrix", "described"):
        np.testing.assert_array_equal(getattr(whole, part), getattr(other, part)[::-1])
        np.testing.assert_array_equal(getattr(whole, part)[7:8], getattr(alone, part))


def test_the_second_time_no_file_is_read(source, clips, monkeypatch):
    first = embed(clips, source, choice=choice(), described=True)
    monkeypatch.setattr("headstart.features.stream.read_file", lambda *_: pytest.fail("a file was read"))
    again = embed(clips, source, choice=choice(), described=True)
    assert again.cached == 20
    np.testing.assert_array_equal(first.matrix, again.matrix)
    np.testing.assert_array_equal(first.described, again.described)


def test_a_copy_by_another_name_is_a_hit(source, clips, tmp_path):
    embed(clips, source, choice=choice())
    copies = [Path(shutil.copy(path, tmp_path / f"{path.stem}.mp3")) for path in clips]
    assert embed(copies, source, choice=choice()).cached == 20


def test_descriptors_are_of_16_khz_whatever_the_source_hears(source, clips):
    import soxr

    got = embed(clips[:2], source, choice=choice(), described=True)
    described, failures = describe_files([*clips[:2], clips[0].with_name("absent.wav")], READERS["sound"])
    np.testing.assert_array_equal(got.described, described[:2])
    assert list(failures) == [2]
    samples, rate = sf.read(clips[0], dtype="float32")
    alone = describe([soxr.resample(samples, rate, 16_000).astype(np.float32)])[0]
    np.testing.assert_allclose(beside_facts(described)[0], alone, rtol=2e-2, atol=0.2)


def test_long_sounds_are_described_alone_and_alike(source, clips, monkeypatch):
    """Their samples do not wait for the other files of a worker."""
    together = embed(clips, source, choice=choice(), use_cache=False, described=True)
    held = []
    monkeypatch.setattr("headstart.features.sound_reader._SHORT", 1)
    look = SoundReader.describe
    monkeypatch.setattr(
        SoundReader, "describe", lambda self, looks: held.extend(one.samples for one in looks) or look(self, looks)
    )
    apart = embed(clips, source, choice=choice(), use_cache=False, described=True)
    assert sorted(one is None for one in held) == sorted(800 + 1_000 * i > 8_000 for i in range(20))
    np.testing.assert_array_equal(apart.described, together.described)


def test_failures_have_reasons_and_the_others_go_on(source, clips, tmp_path):
    clips[3].write_bytes(b"")
    sf.write(clips[5], np.zeros(8_000), 8_000)
    clips[7].write_text("words, and no sound")
    whole = io.BytesIO()
    sf.write(whole, noise(np.random.default_rng(1), 16_000), 44_100, format="MP3")
    clips[9].write_bytes(whole.getvalue())  # named .wav
    sf.write(clips[11], np.full((4_000, 7), 0.1) * np.linspace(-1, 1, 4_000)[:, None], 44_100)
    got = embed(clips, source, choice=choice(), described=True)
    assert list(got.failures) == [3, 5, 7]
    assert "silent" in got.failures[5]
    assert not got.matrix[[3, 5, 7]].any()
    assert got.matrix[[9, 11]].any(axis=1).all()
    assert facts(got.described).rates[[9, 11]].tolist() == [44_100, 44_100]


@pytest.mark.parametrize(("held", "order"), [(1 << 21, "seen seen seen run run run"), (0, "seen run " * 3)])
def test_a_few_clips_are_prepared_then_run_as_far_as_memory_allows(source, clips, monkeypatch, held, order):
    done: list[str] = []
    see, outputs = SoundReader.see, Encoder.outputs
    monkeypatch.setattr("headstart.features.stream._HELD", held)
    monkeypatch.setattr(SoundReader, "see", lambda *a, **k: done.append("seen") or see(*a, **k))
    monkeypatch.setattr(Encoder, "outputs", lambda *a: done.append("run") or outputs(*a))
    short = [path for path in clips if sf.info(path).duration <= HOW.seconds][:3]
    found = embed(short, source, choice=choice(1))
    assert done == order.split()
    np.testing.assert_allclose(found.matrix, [expected(path) for path in short], rtol=3e-3, atol=3e-3)


def test_of_thousands_more_are_taken_at_a_time_and_their_rows_are_the_same(source, clips, monkeypatch):
    taken: list[int] = []
    prepare = stream._prepare
    monkeypatch.setattr(stream, "_prepare", lambda *a: taken.append(len(a[-1])) or prepare(*a))
    few = embed(clips, source, choice=choice(), described=True, use_cache=False)
    assert max(taken) == stream._FEW
    taken.clear()
    monkeypatch.setattr(stream, "_THOUSANDS", len(clips))
    more = embed(clips, source, choice=choice(), described=True, use_cache=False)
    assert max(taken) == min(stream._MORE, len(clips))
    np.testing.assert_array_equal(more.matrix, few.matrix)
    np.testing.assert_array_equal(more.described, few.described)
