"""Image models of timm: by hub name, or from a local folder, exported once with PyTorch.

    timm/resnet18.a1_in1k, timm:resnet18.a1_in1k    the repository timm/resnet18.a1_in1k of the model hub
    FOLDER                                           config.json with "architecture", and model.safetensors
                                                     (or pytorch_model.bin, read with weights_only=True)

A CNN or pyramid gives each of its stages, a ViT six evenly spaced blocks and its end; each as mean and maximum over
positions, and as its class token where it has one. After them come `head` (the last feature map) and `pooled` (what
timm's classifier would see), where they are not the same as one before.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headstart.errors import SourceError, one_line
from headstart.optional import require
from headstart.sources.base import Entry, Exported, ImageInput, Interpolation, Modality
from headstart.sources.files import Fields, read_object, stamp
from headstart.sources.hub import fetch, versions
from headstart.sources.pickled import check_pickles

if TYPE_CHECKING:
    import torch

    from headstart.sources.torch_export import Output

_MOST_STAGES = 7
_BLOCKS = 6
_CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
# Arguments of timm.create_model that would read other files or the network.
_FORBIDDEN = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "model_name"}


class Timm:
    """The provider registered as `timm`."""

    def entries(self) -> list[Entry]:
        """Nothing: its models are found by reference."""
        return []

    def accepts(self, reference: str) -> bool:
        """True for timm/NAME, timm:NAME and a folder whose config.json names an architecture."""
        if _repository(reference) and not os.path.isdir(reference):
            return True
        config = Path(reference) / _CONFIG
        return os.path.isfile(config) and "architecture" in read_object(config)

    def modality(self, reference: str) -> Modality:
        """Images, all of them."""
        return "image"

    def key(self, reference: str) -> str:
        """The versions that export, and the name of the hub or a folder's files, wherever it is looked at from."""
        local = os.path.isdir(reference)
        what = stamp(*(Path(reference) / name for name in (_CONFIG, *_WEIGHTS))) if local else _repository(reference)
        return f"{what}\n{versions('timm', 'torch')}"

    def export(self, reference: str, directory: Path) -> Exported:
        """Write the graph of a model.

        Raises:
            SourceError: the hub or the folder does not have it, or it cannot be exported.
            MissingLayerError: timm or torch is not installed.
        """
        require("torch", "torch", f"exporting {reference!r}")
        require("timm", "torch", f"exporting {reference!r}")
        repository = _repository(reference)
        local = os.path.isdir(reference)
        folder = (
            Path(reference) if local else fetch(cast(str, repository), [_CONFIG, _WEIGHTS[0]], [_WEIGHTS[1]], _lacks)
        )
        model, licence = load(folder)
        description = _input(model, reference)
        import torch

        from headstart.sources.torch_export import export

        generator = torch.Generator().manual_seed(0)
        shapes = [(n, 3, description.size, description.size) for n in (2, 3)]
        examples = [{"image": torch.randn(shape, generator=generator)} for shape in shapes]
        taps = export(model, _collect, examples, {0: "n"}, directory)
        return Exported(
            name=folder.resolve().name if local else cast(str, repository),
            modality="image",
            origin=f"timm model, {'local folder' if local else 'model hub'}",
            licence=licence,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            input=description,
            taps=taps,
        )


def _lacks(folder: Path) -> str:
    """The first file that a folder from the hub lacks to be exported; empty for none."""
    if not (folder / _CONFIG).is_file():
        return _CONFIG
    return "" if any((folder / name).is_file() for name in _WEIGHTS) else _WEIGHTS[0]


def load(folder: Path) -> tuple[torch.nn.Module, str]:
    """The model of a folder, without its classifier, on the CPU in fp32; and its licence.

    Raises:
        SourceError: config.json or the weights are missing or wrong.
    """
    import timm

    path = folder / _CONFIG
    fields = Fields(read_object(path), str(path))
    architecture = fields.text("architecture", longest=200)
    arguments = fields.mapping("model_args", {})
    settings = fields.mapping("pretrained_cfg", {})
    classes = fields.integer("num_classes", settings.get("num_classes", 1000), low=0, high=1 << 24)
    fields.finish(others=True)
    forbidden = sorted(_FORBIDDEN & arguments.keys())
    if forbidden or not timm.is_model(architecture):
        wrong = f"model_args may not have {', '.join(forbidden)}" if forbidden else "timm has no such architecture"
        raise SourceError(f"{path}: {architecture!r} cannot be made: {wrong}; timm {timm.__version__} is installed")
    try:
        overlay = {key: value for key, value in settings.items() if key not in ("file", "url", "hf_hub_id")}
        made = {"num_classes": classes} | dict(arguments)  # timm states the number among its arguments, too
        model = timm.create_model(architecture, pretrained=False, pretrained_cfg_overlay=overlay, **made)
        model.load_state_dict(_read_weights(folder))
        model.reset_classifier(0)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        reason = one_line(error)[:200]
        raise SourceError(f"{folder}: {architecture} does not take these weights ({reason})") from error
    return model.float().eval(), str(settings.get("license") or "unknown")


def _read_weights(folder: Path) -> Mapping[str, Any]:
    """The state dict of a folder; nothing in it can run code."""
    import safetensors.torch
    import torch

    tensors, pickled = (folder / name for name in _WEIGHTS)
    path = tensors if tensors.is_file() else pickled
    if not path.is_file():
        raise SourceError(f"{folder} has no weights; expected {' or '.join(_WEIGHTS)}")
    if path == pickled:
        check_pickles(path)
    state: Mapping[str, Any]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the age of a file's layout
            if path == tensors:
                state = safetensors.torch.load_file(path)
            else:
                state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors, pickle and zipfile each have their own
        reason = one_line(error)[:120]
        raise SourceError(f"{path} cannot be read as plain tensors ({reason}); save it as safetensors") from error
    return state


def _repository(reference: str) -> str | None:
    for prefix in ("timm/", "timm:"):
        if reference.startswith(prefix) and len(reference) > len(prefix):
            return "timm/" + reference[len(prefix) :]
    return None


def _input(model: torch.nn.Module, reference: str) -> ImageInput:
    """The preprocessing that the model was trained with."""
    import timm.data

    config = timm.data.resolve_model_data_config(model)
    channels, height, width = config["input_size"]
    if channels != 3 or height != width:
        raise SourceError(f"{reference!r} takes images of {channels} x {height} x {width}; 3 x S x S is expected")
    interpolation: Interpolation = "bilinear" if config["interpolation"] == "bilinear" else "bicubic"
    return ImageInput(
        size=height,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        resize="crop" if config["crop_mode"] == "center" else "squash",
        crop_fraction=float(config["crop_pct"]) if config["crop_mode"] == "center" else 1.0,
        interpolation=interpolation,
    )


def _collect(model: Any, image: torch.Tensor) -> list[Output]:
    """Every pooled output of a timm model, shallow first."""
    from headstart.sources.torch_export import Output, spread

    outputs: list[Output] = []
    class_token = getattr(model, "cls_token", None) is not None
    depth = 0
    if hasattr(model, "forward_intermediates"):
        count = len(model.feature_info)
        positions = spread(count, _MOST_STAGES if count <= _MOST_STAGES else _BLOCKS)
        prefix = "return_prefix_tokens" in inspect.signature(model.forward_intermediates).parameters
        options = {"return_prefix_tokens": True} if prefix else {}
        final, stages = model.forward_intermediates(image, indices=positions, output_fmt="NCHW", **options)
        for depth, (position, stage) in enumerate(zip(positions, stages, strict=True), 1):
            grid, leading = stage if isinstance(stage, tuple | list) else (stage, None)  # (n, c, h, w), (n, k, c)
            name = f"{'stage' if count <= _MOST_STAGES else 'block'}{position + 1}"
            outputs.append(Output(f"{name}.mean", depth, "mean", grid.mean((2, 3))))
            outputs.append(Output(f"{name}.max", depth, "max", grid.amax((2, 3))))
            if class_token and leading is not None and leading.shape[1]:
                outputs.append(Output(f"{name}.first", depth, "first", leading[:, 0]))
    else:
        final = model.forward_features(image)
    return outputs + _collect_end(model, final, depth + 1, class_token)


def _collect_end(model: Any, final: torch.Tensor, depth: int, class_token: bool) -> list[Output]:
    """The last feature map, whatever its layout, and what the classifier would see."""
    from headstart.sources.torch_export import Output

    outputs: list[Output] = []
    width = model.num_features
    positions: tuple[int, ...] = ()
    tokens = final
    if final.ndim == 4:
        positions = (2, 3) if final.shape[1] == width else (1, 2)  # some transformers keep channels last
    elif final.ndim == 3:
        positions = (1,)
        tokens = final[:, getattr(model, "num_prefix_tokens", 0) :]
    if positions:
        outputs.append(Output("head.mean", depth, "mean", tokens.mean(positions)))
        outputs.append(Output("head.max", depth, "max", tokens.amax(positions)))
        if final.ndim == 3 and class_token:
            outputs.append(Output("head.first", depth, "first", final[:, 0]))
    pooled = model.forward_head(final, pre_logits=True)
    if pooled.ndim == 2:
        outputs.append(Output("pooled", depth, "mean", pooled))
    return outputs
