"""Random weights, with batch normalisation after each convolution; and how that is folded in when training is over.

Exported convolutional nets have their batch normalisation folded into the convolution before it. Without it they do
not train from random weights. Ioffe and Szegedy, 2015, arXiv 1502.03167:

    y = g (W x - m) / sqrt(v + e) + b     =     (s W) x + (b - m s),     s = g / sqrt(v + e)

A convolution's own bias would be taken away again by the mean, so it is left out while there is a normalisation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from headstart.errors import EngineError

if TYPE_CHECKING:
    from headstart.adapt.graph import GraphModule

SUFFIX = "__norm"
"""The normalisation after the layer "x" is the submodule "x__norm"."""
EPSILON, MOMENTUM = 1e-3, 0.1
_SPREAD = 0.02  # of random linear weights and embeddings, as in BERT and ViT


def randomise(graph: GraphModule, seed: int) -> None:
    """Random weights in place of the pretrained ones, and batch normalisation after each convolution.

    Graphs with layer normalisation get none: they train from random weights as they are, and sounds, which go through
    a few of one length at a time, have no statistics of a batch.

    Convolutions: normal, variance 2 / fan out (He et al., 2015, arXiv 1502.01852). Linear maps and embeddings: normal
    with standard deviation 0.02, cut at two of them. Normalisations: scale 1, shift 0. Biases 0. Weights of no layer:
    1 where they scale, 0 where they shift, else as linear maps.

    Raises:
        EngineError: a convolution has no bias, where the normalisation could be folded in afterwards.
    """
    generator = torch.Generator().manual_seed(seed)
    bare = not any(isinstance(module, nn.LayerNorm) for module in graph.children())
    with torch.no_grad():
        for name, module in list(graph.named_children()):
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * (2 / fan_out) ** 0.5)
                if bare:
                    _insert(graph, name, module)
            elif isinstance(module, nn.LayerNorm):
                module.weight.fill_(1.0)
            else:
                _scatter(module.weight, generator)
            if getattr(module, "bias", None) is not None:
                module.bias.zero_()
        for name, parameter in graph.named_parameters(recurse=False):
            role = graph.roles[name]
            if parameter.numel() > max(parameter.shape) or role == "other":
                _scatter(parameter, generator)
            else:
                parameter.fill_(1.0 if role == "scale" else 0.0)


def folded(kernel: Tensor, norm: Any) -> dict[str, Tensor]:
    """weight and bias of the convolution that does in one what `kernel`, without bias, and `norm` do in evaluation."""
    given = (kernel, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    w, gain, shift, mean, variance = (x.cpu().double() for x in given)  # MPS has no float64
    scale = gain / (variance + norm.eps).sqrt()  # (out,)
    weight = w * scale.reshape(-1, *[1] * (w.ndim - 1))
    return {"weight": weight.float(), "bias": (shift - mean * scale).float()}


def _insert(graph: GraphModule, name: str, module: Any) -> Any:
    """A new normalisation after the convolution `name`, which loses its bias."""
    if module.bias is None:
        raise EngineError(
            f"cannot be trained with batch normalisation: the convolution {name} has no bias to fold into"
        )
    kind = nn.BatchNorm2d if isinstance(module, nn.Conv2d) else nn.BatchNorm1d
    norm = kind(module.out_channels, eps=EPSILON, momentum=MOMENTUM).to(module.weight.device)
    norm.train(module.training)
    module.bias = None
    graph.add_module(name + SUFFIX, norm)
    return norm


def _scatter(parameter: Tensor, generator: torch.Generator) -> None:
    values = torch.empty(parameter.shape)
    nn.init.trunc_normal_(values, std=_SPREAD, a=-2 * _SPREAD, b=2 * _SPREAD, generator=generator)
    parameter.copy_(values)
