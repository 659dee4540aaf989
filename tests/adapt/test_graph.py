"""ONNX Runtime, timm and torch's autograd are the references."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch")
pytest.importorskip("timm")

import timm
import torch

from headstart.adapt.fast_layers import DepthwiseConv2d, PointwiseConv2d, hasten
from headstart.adapt.graph import GraphModule
from headstart.errors import EngineError
from headstart.sources import efficientnet_lite
from headstart.sources.base import GRAPH_FILE, Source
from headstart.sources.catalogue import open_source
from headstart.sources.graph import write


def onnx_run(graph: Path | onnx.ModelProto, outputs: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    data = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(outputs, feeds)


def with_weights(graph: Path, weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The file's graph with other numbers in it."""
    model = onnx.load(str(graph))
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            assert weights[tensor.name].shape == tuple(tensor.dims)
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    return model


def image_feeds(n: int = 3, size: int = 24, seed: int = 0) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(seed).standard_normal((n, 3, size, size)).astype(np.float32)}


def text_feeds(n: int = 4, length: int = 9, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = (np.arange(length) < rng.integers(2, length + 1, (n, 1))).astype(np.int64)
    return {"input_ids": rng.integers(4, 30, (n, length)) * mask, "attention_mask": mask}


def tensors(feeds: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in feeds.items()}


@pytest.fixture(params=["image", "text"])
def case(request) -> tuple[Source, dict[str, np.ndarray]]:
    source = request.getfixturevalue(f"{request.param}_source")
    return source, image_feeds() if request.param == "image" else text_feeds()


@pytest.mark.parametrize("fast", [False, True])
def test_every_tap_is_as_onnx_runtime_has_it(case, fast) -> None:
    source, feeds = case
    names = [tap.name for tap in source.taps]
    module = GraphModule.load(source.graph, names).eval()
    if fast:
        hasten(module)
    with torch.no_grad():
        got = module(tensors(feeds))
    for name, wanted in zip(names, onnx_run(source.graph, names, feeds), strict=True):
        np.testing.assert_allclose(got[name].numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_above_a_cut_it_goes_on_from_the_cut(image_source) -> None:
    model = onnx.load(str(image_source.graph))
    model.graph.output.append(helper.make_tensor_value_info("stage1.add", TensorProto.FLOAT, None))
    cut, wanted = onnx_run(model, ["stage1.add", "head.mean"], image_feeds())
    module = GraphModule.load(image_source.graph, ["head.mean"], ["stage1.add"])
    assert module.inputs == ("stage1.add",)
    assert not any(name.startswith(("stem", "stage1")) for name in module.held)
    got = module({"stage1.add": torch.from_numpy(cut)})["head.mean"]
    np.testing.assert_allclose(got.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_weights_as_they_are_come_back_unchanged(case) -> None:
    source, _ = case
    module = GraphModule.load(source.graph, [tap.name for tap in source.taps])
    hasten(module)
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(str(source.graph)).graph.initializer}
    moved = module.moved()
    for name, value in moved.items():
        np.testing.assert_array_equal(value, stored[name])
    weights = {name for name, v in stored.items() if v.dtype == np.float32 and v.size > 1}
    assert set(moved) == weights


def test_what_was_trained_is_what_the_file_then_computes(case) -> None:
    source, feeds = case
    last = source.taps[-2].name
    module = GraphModule.load(source.graph, [last])
    optimiser = torch.optim.SGD(module.parameters(), 0.05)
    for _ in range(3):
        optimiser.zero_grad()
        module(tensors(feeds))[last].square().mean().backward()
        optimiser.step()
    with torch.no_grad():
        trained = module(tensors(feeds))[last].numpy()
    (before,) = onnx_run(source.graph, [last], feeds)
    (after,) = onnx_run(with_weights(source.graph, module.moved()), [last], feeds)
    np.testing.assert_allclose(after, trained, rtol=1e-4, atol=1e-5)
    assert np.abs(after - before).max() > 1e-2


def test_gradients_are_those_of_the_timm_model(tmp_path) -> None:
    """A folded weight is s W, so dL/dW = s dL/d(s W); s = g / sqrt(v + e)."""
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    graph, _ = efficientnet_lite.build(state, efficientnet_lite.Variant(64, 1.0, 1.0))
    write(graph, tmp_path)
    module = GraphModule.load(tmp_path / GRAPH_FILE, ["head.mean"])
    hasten(module)
    image = torch.randn(2, 3, 64, 64)
    direction = torch.randn(2, 1280)
    features = module({"image": image})["head.mean"]
    reference = model(image)
    torch.testing.assert_close(features, reference, rtol=1e-3, atol=1e-4)
    (features * direction).sum().backward()
    (reference * direction).sum().backward()
    convolutions = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    mine = [m for m in module.children() if isinstance(m, torch.nn.Conv2d)]
    assert len(mine) == len(convolutions) == len(norms)
    for own, convolution, norm in zip(mine, convolutions, norms, strict=True):
        scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
        wanted = convolution.weight.grad
        got = own.weight.grad * scale[:, None, None, None]
        assert (got - wanted).norm() <= 1e-3 * wanted.norm() + 1e-6
        torch.testing.assert_close(own.bias.grad, norm.bias.grad, rtol=1e-3, atol=1e-3 * float(norm.bias.grad.norm()))


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit"])
def test_exported_models_have_torchs_gradients(tmp_path, monkeypatch, architecture) -> None:
    """The loss's fall along its own gradient, as the untouched timm model has it (resnet: its image's gradient)."""
    import safetensors.torch

    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    torch.manual_seed(0)
    model = timm.create_model(architecture, num_classes=0, img_size=160) if architecture == "test_vit" else None
    model = (model or timm.create_model(architecture, num_classes=0)).eval()
    safetensors.torch.save_file(model.state_dict(), tmp_path / "model.safetensors")
    config = {"input_size": [3, 160, 160], "crop_pct": 1.0, "interpolation": "bilinear"}
    values = {"architecture": architecture, "num_classes": 0, "pretrained_cfg": config}
    (tmp_path / "config.json").write_text(json.dumps(values))
    source = open_source(str(tmp_path))
    last = next(tap.name for tap in reversed(source.taps) if tap.pooling in ("mean", "first"))
    module = GraphModule.load(source.graph, [last])
    image = torch.randn(2, 3, 160, 160, requires_grad=True)
    mine = module({"image": image})[last]
    reference = model(image)
    if mine.shape != reference.shape or not torch.allclose(mine, reference, atol=1e-3):
        reference = model.forward_head(model.forward_features(image), pre_logits=True)
    torch.testing.assert_close(mine, reference, rtol=1e-3, atol=1e-3)
    direction = torch.randn(mine.shape)
    (got,) = torch.autograd.grad((mine * direction).sum(), image)
    (wanted,) = torch.autograd.grad((reference * direction).sum(), image)
    assert (got - wanted).norm() <= 1e-3 * wanted.norm()


def test_depth_is_that_of_the_shallowest_reader(image_source) -> None:
    module = GraphModule.load(image_source.graph, [tap.name for tap in image_source.taps])
    depths = module.depths(image_source.taps)
    found = {name.split(".")[0].split("_")[0]: depth for name, depth in depths.items()}
    assert found == {"stem": 1, "stage1": 1, "stage2": 2, "conv": 3}
    assert set(depths) == {name for name, _ in module.named_parameters()}


def test_convolutions_are_hastened_where_they_can_be(image_source) -> None:
    module = GraphModule.load(image_source.graph, ["head.mean"])
    hasten(module)
    kinds = {name: type(child) for name, child in module.named_children()}
    assert kinds["stage1_expand"] is PointwiseConv2d
    assert kinds["stage2_depthwise"] is DepthwiseConv2d
    assert kinds["stem"] is torch.nn.Conv2d


def test_bf16_training_steps_are_near_those_of_fp32(image_source) -> None:
    grads = []
    for low in (False, True):
        module = GraphModule.load(image_source.graph, ["head.mean"])
        hasten(module)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
            module(tensors(image_feeds(8)))["head.mean"].float().square().mean().backward()
        grads.append(torch.cat([p.grad.flatten() for p in module.parameters()]))
    assert torch.nn.functional.cosine_similarity(grads[0], grads[1], dim=0) > 0.99


def test_what_is_frozen_is_not_among_what_moved(image_source) -> None:
    module = GraphModule.load(image_source.graph, ["head.mean"])
    module.stem.requires_grad_(False)
    assert not any(name.startswith("stem") for name in module.moved())


def graph_of(path: Path, operator: str, opset: int = 18) -> Path:
    node = helper.make_node(operator, ["x"], ["y"])
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("x", "y")]
    model = helper.make_model(
        helper.make_graph([node], "one", info[:1], info[1:]), opset_imports=[helper.make_opsetid("", opset)]
    )
    onnx.save(model, str(path))
    return path


def test_what_cannot_be_trained_is_refused_in_one_line(tmp_path, image_source) -> None:
    with pytest.raises(EngineError, match="no operator Sin"):
        GraphModule.load(graph_of(tmp_path / "a.onnx", "Sin"), ["y"])
    with pytest.raises(EngineError, match="opset 11"):
        GraphModule.load(graph_of(tmp_path / "b.onnx", "Relu", 11), ["y"])
    with pytest.raises(EngineError, match="no tensor 'nowhere'"):
        GraphModule.load(image_source.graph, ["head.mean"], ["nowhere"])
    (tmp_path / "c.onnx").write_bytes(b"no graph")
    with pytest.raises(EngineError, match="cannot be read"):
        GraphModule.load(tmp_path / "c.onnx", ["y"])
