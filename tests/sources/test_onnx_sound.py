"""Local ONNX files of sound models, waves and spectrograms, with the description of their input beside them."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from headstart.errors import SourceError
from headstart.sources.base import SoundInput
from headstart.sources.catalogue import modality_of, open_source

WAVE = {"modality": "sound", "rate": 8_000, "seconds": 2, "shortest": 100, "taps": ["states", "vector"]}
MEL = WAVE | {"front": "whisper", "bands": 6}


@pytest.fixture
def sound_file(tmp_path):
    """A convolution to `states` (n, t, 4), its mean `vector` (n, 4), and `channels` (n, 4, t)."""

    def make(description, *, sizes, element=TensorProto.FLOAT):
        wave = len(sizes) == 2
        weight = np.random.default_rng(0).standard_normal((4, 1 if wave else sizes[1], 5)).astype(np.float32)
        constants = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array([1]), "one")]
        unsqueezed = [helper.make_node("Unsqueeze", ["sound", "one"], ["x"])] if wave else []
        nodes = [
            *unsqueezed,
            helper.make_node("Conv", ["x" if wave else "sound", "w"], ["channels"], strides=[3], pads=[2, 2]),
            helper.make_node("Transpose", ["channels"], ["states"], perm=[0, 2, 1]),
            helper.make_node("ReduceMean", ["states", "one"], ["vector"], keepdims=0),
        ]
        shapes = {"states": ["n", "k", 4], "vector": ["n", 4], "channels": ["n", 4, "k"]}
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
        inputs = [helper.make_tensor_value_info("sound", element, sizes)]
        graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "m.onnx"
        )
        (tmp_path / "m.json").write_text(json.dumps(description))
        return str(tmp_path / "m.onnx"), weight

    return make


def convolved(x, weight):
    """(n, t', 4), by the definition."""
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2)))
    starts = range(0, padded.shape[2] - 4, 3)
    return np.stack([np.einsum("nct,oct->no", padded[:, :, s : s + 5], weight) for s in starts], axis=1)


@pytest.mark.parametrize(
    ("description", "sizes", "name"), [(WAVE, ["n", "t"], "wave"), (MEL, ["n", 6, "t"], "mel")], ids=["wave", "mel"]
)
def test_positions_are_pooled(description, sizes, name, sound_file, run):
    reference, weight = sound_file(description, sizes=sizes)
    assert modality_of(reference) == "sound"
    source = open_source(reference)
    front = {"front": "whisper", "bands": 6} if name == "mel" else {}
    assert source.input == SoundInput(rate=8_000, seconds=2.0, shortest=100, **front)
    assert [(tap.name, tap.depth, tap.pooling, tap.width) for tap in source.taps] == [
        ("states.mean", 0, "mean", 4), ("states.std", 0, "std", 4), ("vector", 1, "mean", 4),
    ]  # fmt: skip
    for t in (7, 100):
        x = np.random.default_rng(t).standard_normal((2, 1 if name == "wave" else 6, t)).astype(np.float32)
        got = run(source, {name: x[:, 0] if name == "wave" else x})
        states = convolved(x, weight)
        np.testing.assert_allclose(got["states.mean"], states.mean(1), atol=1e-5)
        np.testing.assert_allclose(got["states.std"], states.std(1), atol=1e-5)
        np.testing.assert_allclose(got["vector"], states.mean(1), atol=1e-5)


def test_a_fixed_length_is_taken_where_every_window_has_it(sound_file):
    reference, _ = sound_file(WAVE | {"shortest": 16_000}, sizes=["n", 16_000])
    assert open_source(reference).input.shortest == 16_000
    reference, _ = sound_file(MEL | {"frames": 64}, sizes=["n", 6, 64])
    assert open_source(reference).input.frames == 64


@pytest.mark.parametrize(
    ("description", "sizes", "message"),
    [
        (WAVE, ["n", 16_000], "takes sounds of shape .16000."),
        (WAVE, ["n", 1, "t"], r"expected one, float32 \(n, t\)"),
        (WAVE, [1, "t"], "dynamic first axis"),
        (MEL, ["n", 7, "t"], "takes sounds of shape .7, None."),
        (MEL, ["n", 6, 64], "'frames'"),
        (WAVE | {"taps": ["channels"]}, ["n", "t"], "one length of sound"),
        (WAVE | {"rate": -1}, ["n", "t"], "'rate'"),
        (WAVE | {"size": 3}, ["n", "t"], "unknown key 'size'"),
    ],
)
def test_what_does_not_fit_its_description(description, sizes, message, sound_file):
    reference, _ = sound_file(description, sizes=sizes)
    with pytest.raises(SourceError, match=message) as caught:
        open_source(reference)
    assert "\n" not in str(caught.value)
