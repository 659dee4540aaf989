"""General data first, weights moved; then specific data: what the second fit starts from is what the first one made."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("accelerate")

import headstart as hs
from headstart.adapt.base import Reading
from headstart.features.images import prepare
from headstart.sources.catalogue import open_source

pytestmark = pytest.mark.usefixtures("plain")


@pytest.fixture
def specific(tmp_path):
    """24 other images in two class folders, a third of them by chance, so that nothing else is right about all."""
    folder, rng = tmp_path / "specific", np.random.default_rng(6)
    for k in range(24):
        pixels = rng.integers(0, 120, (26, 26, 3), dtype=np.uint8)
        pixels[:: 2 + k % 2] += np.uint8(80)
        kind = rng.integers(2) if k % 3 == 0 else k % 2
        path = folder / ("fine" if kind else "coarse") / f"{k:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def weights_of(graph) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(str(graph)).graph.initializer}


def test_the_second_fit_starts_from_the_weights_that_the_first_one_moved(
    claim, small_conv, squares, specific, tmp_path
):
    general, out = tmp_path / "general.headstart", tmp_path / "specific.headstart"
    sure = claim("lp-ft", Reading(6))
    hs.fit(squares, source=str(small_conv), strategy="lp-ft", out=general)
    model = hs.fit(specific, source=str(general), strategy="lp-ft", out=out)
    (_, first), (job, second) = sure.given

    start, root = weights_of(job.source.graph), weights_of(open_source(str(small_conv)).graph)
    assert any(np.abs(value - root[name]).max() > 1e-3 for name, value in first.moved.weights.items())
    for name, value in first.moved.weights.items():
        np.testing.assert_array_equal(start[name], value)  # the graph of the second source, number by number
    unmoved = sure.learner.learn(job, np.arange(12), np.arange(12, 24), (Reading(0),)).moved.weights
    for name, value in unmoved.items():
        np.testing.assert_array_equal(value, start[name])  # and where its trainings begin
    assert any(not np.array_equal(value, start[name]) for name, value in second.moved.weights.items())

    # The features of the second fit, against ONNX Runtime on the first source's file with the trained numbers in it.
    edited = onnx.load(str(open_source(str(small_conv)).graph))
    for tensor in edited.graph.initializer:
        if tensor.name in first.moved.weights:
            tensor.CopyFrom(numpy_helper.from_array(first.moved.weights[tensor.name], tensor.name))
    session = onnxruntime.InferenceSession(edited.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [tap.name for tap in job.source.taps]
    images = [prepare(path, job.source.input)[None] for path in job.items]
    wanted = np.concatenate([np.concatenate(session.run(names, {"image": one}), axis=1) for one in images])
    np.testing.assert_allclose(job.features.matrix, wanted, rtol=2e-3, atol=2e-3)

    assert [ancestor.name for ancestor in model.lineage] == ["general", "conv"]
    assert [one["name"] for one in model.evidence["lineage"]] == ["general", "conv"]
    third = open_source(str(out)).lineage
    assert [(one.name, one.strategy) for one in third] == [("specific", "lp-ft"), ("general", "lp-ft"), ("conv", None)]
    assert (third[1].data.name, third[1].data.n) == ("squares", 48)
