"""Moved weights: the graph computes with the new ones, everything else stays."""

from __future__ import annotations

import errno

import numpy as np
import onnx
import pytest

from headstart.errors import SourceError, StorageError
from headstart.sources.base import Tap
from headstart.sources.catalogue import open_source
from headstart.sources.moved import moved_source
from headstart.sources.record import source_from_directory, verify

IMAGE = {"image": np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)}
ENCODER = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 8, "intermediate_size": 16}


@pytest.fixture
def source(image_file):
    return open_source(str(image_file()))


def weights_of(source):
    graph = onnx.load_model(source.graph).graph
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}


def test_computes_with_the_new_weights(source, run, tmp_path):
    """A convolution without bias is linear: twice the weights, twice every mean and maximum."""
    moved = moved_source(source, {"w": 2 * weights_of(source)["w"]}, tmp_path / "moved")
    for name, value in run(source, IMAGE).items():
        np.testing.assert_allclose(run(moved, IMAGE)[name], 2 * value, rtol=1e-6)
    assert moved.fingerprint != source.fingerprint
    assert moved == source_from_directory(tmp_path / "moved")
    verify(moved)


def test_everything_else_stays(source, tmp_path):
    moved = moved_source(source, {"w": 2 * weights_of(source)["w"]}, tmp_path / "moved")
    for name in ("name", "modality", "origin", "licence", "parameters", "input", "taps"):
        assert getattr(moved, name) == getattr(source, name)
    assert moved.lineage == source.lineage
    assert moved_source(source, {}, tmp_path / "named", name="mine").name == "mine"


def test_the_same_weights_are_the_same_source(source, tmp_path):
    weights = {"w": weights_of(source)["w"]}
    same = moved_source(source, weights, tmp_path / "same")
    again = moved_source(same, weights, tmp_path / "again")
    assert again.graph.read_bytes() == same.graph.read_bytes()
    assert again.fingerprint == same.fingerprint
    other = {"w": weights["w"] + 1}
    one, two = (moved_source(source, other, tmp_path / name) for name in ("one", "two"))
    assert one.graph.read_bytes() == two.graph.read_bytes()
    assert one.fingerprint == two.fingerprint != same.fingerprint


def test_what_no_tap_needs_is_left_out(source, run, tmp_path):
    wanted = [source.taps[2], source.taps[0]]
    moved = moved_source(source, {"w": 2 * weights_of(source)["w"]}, tmp_path / "moved", taps=wanted)
    assert moved.taps == (source.taps[0], source.taps[2])  # in the source's order, as those of any source
    assert list(run(moved, IMAGE)) == [tap.name for tap in moved.taps]
    assert len(onnx.load_model(moved.graph).graph.node) < len(onnx.load_model(source.graph).graph.node)


def test_the_tokenizer_goes_with_it(model_folder, tmp_path):
    pytest.importorskip("transformers")
    source = open_source(str(model_folder("bert", **ENCODER)))
    name, value = next((name, value) for name, value in weights_of(source).items() if value.dtype == np.float32)
    moved = moved_source(source, {name: value + 1}, tmp_path / "moved")
    assert moved.tokenizer.read_bytes() == source.tokenizer.read_bytes()
    verify(moved)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"v": np.zeros(3, np.float32)}, "no weights 'v'"),
        ({"axes_2_3": np.zeros(2, np.float32)}, "no weights"),  # integers are no weights
        ({"w": np.zeros((4, 3, 3), np.float32)}, r"\(4, 3, 3, 3\)"),
        ({"w": np.zeros((4, 3, 3, 3))}, "float64"),
        ({"w": np.full((4, 3, 3, 3), np.nan, np.float32)}, "not finite"),
    ],
)
def test_weights_of_another_graph_are_refused(source, tmp_path, weights, words):
    with pytest.raises(SourceError, match=words):
        moved_source(source, weights, tmp_path / "moved")
    assert not (tmp_path / "moved").exists()


@pytest.mark.parametrize("taps", [[], [Tap("map.sum", 0, "mean", 4)]])
def test_taps_that_it_does_not_have_are_refused(source, tmp_path, taps):
    with pytest.raises(SourceError, match="taps"):
        moved_source(source, {}, tmp_path / "moved", taps=taps)


def test_a_full_disk_is_said(source, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("headstart.sources.graph.write", full)
    with pytest.raises(StorageError, match="No space left on device"):
        moved_source(source, {}, tmp_path / "moved")


def test_a_moved_source_in_a_model_is_a_source_with_its_descent(source, model_file, run, tmp_path):
    """What the next fit sees: the moved layers, and first in the lineage the model that they came in."""
    moved = moved_source(source, {"w": 2 * weights_of(source)["w"]}, tmp_path / "moved")
    child = open_source(str(model_file(moved, tmp_path / "general.headstart", strategy="last-stages")))
    assert [(ancestor.name, ancestor.strategy) for ancestor in child.lineage] == [
        ("general", "last-stages"),
        ("model", None),
    ]
    assert child.lineage[1].sha256 == source.fingerprint
    for name, value in run(moved, IMAGE).items():
        np.testing.assert_array_equal(run(child, IMAGE)[name], value)
