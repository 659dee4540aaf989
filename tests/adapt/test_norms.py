"""Folding in and out, against torch's own batch normalisation and ONNX Runtime."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

pytest.importorskip("torch")

import torch

from headstart.adapt import norms
from headstart.adapt.graph import GraphModule
from headstart.errors import EngineError


def feeds(n: int = 6, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"image": torch.randn(n, 3, 24, 24, generator=generator)}


def frozen_answer(graph, weights, given) -> np.ndarray:
    model = onnx.load(str(graph))
    for tensor in model.graph.initializer:
        if tensor.name in weights:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["head.mean"], {"image": given["image"].numpy()})[0]


def test_trained_normalisation_is_folded_into_the_file(image_source) -> None:
    graph = GraphModule.load(image_source.graph, ["head.mean"], fresh=0)
    assert hasattr(graph, "stem" + norms.SUFFIX)
    graph.train()
    optimiser = torch.optim.SGD(graph.parameters(), 0.05)
    for step in range(4):
        optimiser.zero_grad()
        graph(feeds(8, step))["head.mean"].square().mean().backward()
        optimiser.step()
    graph.eval()
    with torch.no_grad():
        wanted = graph(feeds())["head.mean"].numpy()
    np.testing.assert_allclose(frozen_answer(image_source.graph, graph.moved(), feeds()), wanted, rtol=1e-3, atol=1e-4)


def test_it_is_folded_where_there_is_float64() -> None:
    """An Apple GPU has none."""

    class There:
        def __init__(self, value: torch.Tensor) -> None:
            self.value = value

        def cpu(self) -> torch.Tensor:
            return self.value

    norm = torch.nn.BatchNorm2d(2)
    norm.running_mean, norm.running_var = torch.tensor([1.0, -2.0]), torch.tensor([4.0, 0.25])
    held = {name: There(getattr(norm, name).detach()) for name in ("weight", "bias", "running_mean", "running_var")}
    kernel = torch.randn(2, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    found = norms.folded(There(kernel), SimpleNamespace(**held, eps=norm.eps))
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    wanted = norm.eval()(torch.nn.functional.conv2d(x, kernel))
    torch.testing.assert_close(torch.nn.functional.conv2d(x, found["weight"], found["bias"]), wanted)


def test_random_weights_are_those_of_the_seed_and_fold_in(image_source) -> None:
    one, two, other = (GraphModule.load(image_source.graph, ["head.mean"], fresh=seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert not torch.equal(one.stem.weight, other.stem.weight)
    fan_out = 9 * 8
    assert abs(float(one.stem.weight.detach().std()) / (2 / fan_out) ** 0.5 - 1) < 0.2
    one.eval()
    with torch.no_grad():
        wanted = one(feeds())["head.mean"].numpy()
    np.testing.assert_allclose(frozen_answer(image_source.graph, one.moved(), feeds()), wanted, rtol=1e-3, atol=1e-4)


def test_random_transformers_are_as_bert_starts(text_source) -> None:
    graph = GraphModule.load(text_source.graph, ["layer2.mean"], fresh=0)
    assert abs(float(graph.get_parameter("embeddings_words.weight").detach().std()) - 0.02) < 0.003
    norm = graph.get_submodule("encoder_layer_0_output_LayerNorm")
    assert torch.equal(norm.weight, torch.ones(16))
    assert not norm.bias.any()
    assert float(graph.get_parameter("embeddings_positions").detach().std()) < 0.03


def test_a_convolution_without_bias_is_refused(image_source) -> None:
    graph = GraphModule.load(image_source.graph, ["head.mean"])
    graph.stem.bias = None
    with pytest.raises(EngineError, match="no bias"):
        norms.randomise(graph, 0)
