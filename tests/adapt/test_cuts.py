"""Cuts: what lies below and above them, checked by running both parts."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from headstart.adapt.cuts import anatomy, last_tap
from headstart.adapt.trunk import write_trunk
from headstart.sources.base import GRAPH_FILE, ImageInput, Source, Tap
from headstart.sources.catalogue import open_source


def feeds_of(source: Source, n: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    if source.modality == "image":
        size = source.input.size
        return {"image": rng.standard_normal((n, 3, size, size)).astype(np.float32)}
    return {"input_ids": rng.integers(4, 30, (n, 7)), "attention_mask": np.ones((n, 7), np.int64)}


def onnx_run(model: onnx.ModelProto, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    wanted = {i.name for i in model.graph.input}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(names, {name: x for name, x in feeds.items() if name in wanted})


def above(model: onnx.ModelProto, tensor: str, value: np.ndarray, tap: str) -> onnx.ModelProto:
    """What is left when `tensor` is a constant and all that only it needed is gone."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    nodes = [node for node in model.graph.node if tensor not in node.output]
    read, kept = {tap}, []
    for node in reversed(nodes):
        if read & set(node.output):
            kept.insert(0, node)
            read |= set(node.input)
    initialisers = [t for t in model.graph.initializer if t.name in read]
    initialisers.append(numpy_helper.from_array(value, tensor))
    inputs = [i for i in model.graph.input if i.name in read]
    output = helper.make_tensor_value_info(tap, TensorProto.FLOAT, None)
    graph = helper.make_graph(kept, "above", inputs, [output], initialisers)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


@pytest.mark.parametrize("kind", ["image_source", "text_source"])
def test_both_parts_together_are_the_whole(request, tmp_path, kind) -> None:
    source: Source = request.getfixturevalue(kind)
    model, tap = onnx.load(str(source.graph)), last_tap(source)
    feeds = feeds_of(source)
    (wanted,) = onnx_run(model, [tap.name], feeds)
    cuts = anatomy(source).cuts
    assert [cut.depth for cut in cuts] == sorted({t.depth for t in source.taps if t.depth < tap.depth})
    for cut in cuts:
        inputs = write_trunk(source.graph, cut.tensor, tmp_path / "trunk.onnx")
        assert set(inputs) <= set(feeds)
        (value,) = onnx_run(onnx.load(str(tmp_path / "trunk.onnx")), [cut.tensor], feeds)
        rest = above(model, cut.tensor, value, tap.name)
        assert tuple(i.name for i in rest.graph.input) == cut.inputs
        (got,) = onnx_run(rest, [tap.name], feeds)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
        if kind == "image_source":
            assert value.shape[1:] == cut.shape


def test_weights_are_parted_by_the_taps_that_read_them(image_source) -> None:
    by_depth = {cut.depth: cut for cut in anatomy(image_source).cuts}
    assert by_depth[1].tensor == "stage1.add"
    assert by_depth[2].tensor == "stage2.project"


def test_the_share_of_work_is_that_of_the_multiply_adds(image_source) -> None:
    stem, stage1 = 12 * 12 * 8 * 3 * 9, 12 * 12 * (8 * 16 + 16 * 9 + 16 * 8)
    stage2 = 12 * 12 * 8 * 16 + 6 * 6 * (16 * 9 + 16 * 12)
    head = 6 * 6 * 12 * 24
    whole = anatomy(image_source)
    assert whole.work == stem + stage1 + stage2 + head
    shares = [cut.share for cut in whole.cuts]
    assert shares == pytest.approx([(stage2 + head) / whole.work, head / whole.work])


def test_the_last_tap_is_the_deepest_mean(image_source, text_source) -> None:
    assert last_tap(image_source).name == "head.mean"
    assert last_tap(text_source).name == "layer2.mean"


@pytest.mark.parametrize("merged", [False, True], ids=["apart", "merged"])
@pytest.mark.parametrize("architecture", ["test_vit", "test_resnet"])
def test_exported_models_can_be_cut(tmp_path, monkeypatch, architecture, merged) -> None:
    """Also where weights are read on both sides of a cut: the exporter's merging of equal ones stands for that."""
    pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    import safetensors.torch

    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    if merged:
        monkeypatch.setattr("headstart.sources.graph.untie", lambda model, shared: None)
    model = timm.create_model(architecture, num_classes=0)
    safetensors.torch.save_file(model.state_dict(), tmp_path / "model.safetensors")
    values = {"architecture": architecture, "num_classes": 0}
    (tmp_path / "config.json").write_text(json.dumps(values))
    source = open_source(str(tmp_path))
    cuts = anatomy(source).cuts
    assert len(cuts) >= 2
    assert all(a.share > b.share for a, b in pairwise(cuts))
    assert bool(cuts[0].tied) == merged
    feeds = feeds_of(source)
    graph = onnx.load(str(source.graph))
    write_trunk(source.graph, cuts[-1].tensor, tmp_path / "trunk.onnx")
    (value,) = onnx_run(onnx.load(str(tmp_path / "trunk.onnx")), [cuts[-1].tensor], feeds)
    (got,) = onnx_run(above(graph, cuts[-1].tensor, value, last_tap(source).name), [last_tap(source).name], feeds)
    (wanted,) = onnx_run(graph, [last_tap(source).name], feeds)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def one_node(directory, operator: str, *, weights: bool = True) -> Source:
    directory.mkdir()
    kernel = numpy_helper.from_array(np.ones((2, 3), np.float32), "kernel")
    nodes = [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node(operator, ["flat"], ["y"])]
    if weights:
        nodes[0] = helper.make_node("ReduceMean", ["image", "axes"], ["pooled"], keepdims=0)
        nodes.insert(1, helper.make_node("Gemm", ["pooled", "kernel"], ["flat"], transB=1))
    axes = numpy_helper.from_array(np.array([2, 3]), "axes")
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", None])
    graph = helper.make_graph(nodes, "one", [image], [out], [kernel, axes] if weights else [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(directory / GRAPH_FILE))
    given = ImageInput(8, (0.5,) * 3, (0.5,) * 3)
    return Source("one", "image", "test", "MIT", 6, operator, directory, given, (Tap("y", 1, "mean", 2),))


def test_why_a_graph_cannot_be_trained(tmp_path) -> None:
    assert "no operator Sin" in anatomy(one_node(tmp_path / "a", "Sin")).reason
    assert "no weights" in anatomy(one_node(tmp_path / "b", "Relu", weights=False)).reason
    fine = anatomy(one_node(tmp_path / "c", "Relu"))
    assert (fine.reason, fine.cuts) == ("", ())
