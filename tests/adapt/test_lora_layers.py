"""LoRA on a graph's layers: peft's own merge and ONNX Runtime are the references."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch

from headstart.adapt.fast_layers import hasten
from headstart.adapt.graph import GraphModule
from headstart.adapt.lora_layers import add_lora
from headstart.errors import EngineError
from headstart.sources.base import Source


def feeds_of(source: Source) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    if source.modality == "image":
        return {"image": torch.randn(5, 3, 24, 24, generator=generator)}
    mask = (torch.arange(8) < torch.tensor([[8], [3], [5], [6], [2]])).long()
    return {"input_ids": torch.randint(4, 30, (5, 8), generator=generator) * mask, "attention_mask": mask}


def adapted(source: Source, tap: str, *, train: bool) -> GraphModule:
    torch.manual_seed(0)
    body = GraphModule.load(source.graph, [tap])
    hasten(body)
    add_lora(body, 3)
    if train:
        optimiser = torch.optim.SGD([p for p in body.parameters() if p.requires_grad], 0.1)
        for _ in range(4):
            optimiser.zero_grad()
            body(feeds_of(source))[tap].square().mean().backward()
            optimiser.step()
    return body.eval()


CASES = [("image_source", "head.mean"), ("text_source", "layer2.mean")]


@pytest.mark.parametrize(("kind", "tap"), CASES)
def test_at_first_nothing_is_added(request, kind, tap) -> None:
    source: Source = request.getfixturevalue(kind)
    got = adapted(source, tap, train=False)(feeds_of(source))[tap]
    wanted = GraphModule.load(source.graph, [tap])(feeds_of(source))[tap]
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "tap"), CASES)
def test_merged_into_the_file_it_computes_what_was_trained(request, kind, tap) -> None:
    source: Source = request.getfixturevalue(kind)
    body = adapted(source, tap, train=True)
    with torch.no_grad():
        trained = body(feeds_of(source))[tap].numpy()
    moved = body.moved()
    model = onnx.load(str(source.graph))
    for tensor in model.graph.initializer:
        if tensor.name in moved:
            tensor.CopyFrom(numpy_helper.from_array(moved[tensor.name], tensor.name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {name: value.numpy() for name, value in feeds_of(source).items()}
    np.testing.assert_allclose(session.run([tap], given)[0], trained, rtol=1e-3, atol=1e-4)
    (before,) = onnxruntime.InferenceSession(str(source.graph), providers=["CPUExecutionProvider"]).run([tap], given)
    assert np.abs(before - trained).max() > 1e-2


@pytest.mark.parametrize(("kind", "tap"), CASES)
def test_what_is_added_is_what_peft_merges(request, kind, tap) -> None:
    source: Source = request.getfixturevalue(kind)
    body = adapted(source, tap, train=True)
    moved = body.moved()
    for name, module in body.named_modules():
        if hasattr(module, "merge") and hasattr(module, "get_base_layer"):
            module.merge()
            initializer = next(i for i, held in body.held.items() if held.module == name and held.parameter == "weight")
            merged = module.get_base_layer().weight.detach().numpy()
            merged = merged.T if body.held[initializer].transposed else merged
            np.testing.assert_allclose(moved[initializer], merged, rtol=1e-5, atol=1e-6)


def test_only_products_of_the_rank_train_and_depthwise_kernels_get_none(image_source) -> None:
    body = adapted(image_source, "head.mean", train=False)
    training = {name: p for name, p in body.named_parameters() if p.requires_grad}
    assert training
    assert all("lora_" in name for name in training)
    assert not any("depthwise" in name for name in training)
    assert {min(p.shape[:2]) for name, p in training.items()} == {3}
    assert not any("depthwise" in name or name.endswith(".bias") for name in body.moved())
    depths = body.depths(image_source.taps)
    assert depths[next(name for name in training if name.startswith("stem"))] == 1
    assert depths[next(name for name in training if name.startswith("conv_head"))] == 3


def test_a_graph_without_layers_is_refused(text_source) -> None:
    body = GraphModule.load(text_source.graph, ["layer0.max"])
    with pytest.raises(EngineError, match="no linear maps"):
        add_lora(body, 2)
