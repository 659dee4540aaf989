"""Full fine-tuning: images a second of a ViT-B/16 and a ResNet-50 against timm's own loop, and the share of the peak.

    python benchmarks/full_tuning.py [--models vit_base_patch16_224 resnet50] [--batch 64] [--images 2048] [--epochs 3]

Where there is a GPU, there, in bfloat16; else on the CPU (then give small ones: --models vit_tiny_patch16_224 --batch 8
--images 32). Weights are random: they are exported from a folder on the spot, as nothing is downloaded.

`step`: forwards, backwards and the optimiser on one batch that lies on the device; ours is the exported graph as
`--strategy full` trains it, theirs timm's model, timm's AdamW, channels last. `loop`: whole epochs from JPEG files of
256 x 256; ours by the strategy, the time of an epoch told from a training of one epoch and one of more; theirs timm's
loader and augmentation with a worker a core. The peak is that of a product of two square matrices in the same run, as a
share of which the step's multiply-adds (counted by torch) are given.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from common import machine

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CLASSES = 10


def write_model(name: str, folder: Path) -> Path:
    """A timm model with random weights, as hubs lay it out."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0)
    folder.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")
    config = {"architecture": name, "num_classes": 0, "pretrained_cfg": {"input_size": model.default_cfg["input_size"]}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_images(folder: Path, count: int) -> None:
    """JPEGs of noise over a gradient, in class folders."""
    from PIL import Image

    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, 256, dtype=np.float32)[:, None, None]
    for k in range(count):
        goal = folder / str(k % CLASSES) / f"{k}.jpg"
        goal.parent.mkdir(parents=True, exist_ok=True)
        pixels = ramp * rng.random(3) + 55 * rng.random((256, 256, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(goal, quality=90)


def timed(work: Callable[[], object], least: float = 3.0) -> float:
    """Seconds of one call, by as many as take some seconds after two to warm up."""
    for _ in range(2):
        work()
    count, start = 0, _now()
    while (spent := _now() - start) < least:
        work()
        count += 1
    return spent / count


def _now() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def stepper(module: torch.nn.Module, optimiser: torch.optim.Optimizer, x: object, y: torch.Tensor) -> Callable:
    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
            logits = module(x)
        torch.nn.functional.cross_entropy(logits.float(), y).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()

    return step


def steps(name: str, source: object, batch: int) -> dict[str, float]:
    """Seconds of a step of either side, and multiply-adds of theirs."""
    import timm
    from timm.optim import create_optimizer_v2
    from torch.utils.flop_counter import FlopCounterMode

    from headstart.adapt.cuts import last_tap
    from headstart.adapt.graph import GraphModule
    from headstart.adapt.initial_head import InitialHead
    from headstart.adapt.network import Network
    from headstart.adapt.optimiser import Optimiser
    from headstart.adapt.settings import Settings

    image, y = torch.randn(batch, 3, 224, 224, device=DEVICE), torch.randint(CLASSES, (batch,), device=DEVICE)
    tap = last_tap(source)
    zeros, ones = np.zeros(tap.width, np.float32), np.ones(tap.width, np.float32)
    head = InitialHead(np.zeros((CLASSES, tap.width), np.float32), np.zeros(CLASSES, np.float32), zeros, ones)
    network = Network(GraphModule.load(source.graph, [tap.name]), [tap], head).to(DEVICE).train()
    own = Optimiser(network, network.body.depths(source.taps), Settings(epochs=1, batch=batch, rate=1e-4))
    ours = timed(stepper(network, own.adam, {"image": image}, y))
    del network, own
    model = timm.create_model(name, num_classes=CLASSES).to(DEVICE, memory_format=torch.channels_last).train()
    channels_last = image.contiguous(memory_format=torch.channels_last)
    step = stepper(model, create_optimizer_v2(model, "adamw", lr=1e-4, weight_decay=0.01), channels_last, y)
    theirs = timed(step)
    with FlopCounterMode(display=False) as counter:
        step()
    return {"ours": ours, "timm": theirs, "multiply_adds": counter.get_total_flops() / 2}


def our_epoch(source: object, folder: Path, batch: int, epochs: int, scratch: Path) -> float:
    """Seconds of an epoch by the strategy."""
    from headstart.adapt import recipe
    from headstart.adapt.base import Job, Reading
    from headstart.adapt.full import Full
    from headstart.data.read import read
    from headstart.features.embed import embed

    data, seconds = read(folder), {}
    job = Job(source, data.items, data.target, embed(data.items, source), scratch)
    rows = np.arange(len(data.items))
    how = Full().recipe(job, len(rows))
    for count in (1, 1 + epochs):
        settings = replace(how.settings, epochs=count, batch=batch)
        start = _now()
        recipe.learn(job, replace(how, settings=settings), rows, rows[:batch], [Reading(count)])
        seconds[count] = _now() - start
    return (seconds[1 + epochs] - seconds[1]) / epochs


def their_epoch(name: str, folder: Path, batch: int, epochs: int) -> float:
    """The median of timm's, without its first."""
    import timm
    import timm.data
    from timm.optim import create_optimizer_v2

    loader = timm.data.create_loader(
        timm.data.create_dataset("", str(folder)), input_size=(3, 224, 224), batch_size=batch, is_training=True,
        num_workers=os.cpu_count(), use_prefetcher=DEVICE.type == "cuda", device=DEVICE, persistent_workers=True,
    )  # fmt: skip
    model = timm.create_model(name, num_classes=CLASSES).to(DEVICE, memory_format=torch.channels_last).train()
    optimiser, seconds = create_optimizer_v2(model, "adamw", lr=1e-4, weight_decay=0.01), []
    for _ in range(1 + epochs):
        start = _now()
        for image, label in loader:
            stepper(model, optimiser, image.contiguous(memory_format=torch.channels_last), label)()
        seconds.append(_now() - start)
    return float(np.median(seconds[1:]))


def peak(least: float = 2.0) -> float:
    """Multiply-adds a second of a product of square matrices in bfloat16."""
    n = 8192 if DEVICE.type == "cuda" else 2048
    a, b = (torch.randn(n, n, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    return n**3 / timed(lambda: a @ b, least)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["vit_base_patch16_224", "resnet50"])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    card = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "no GPU"
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("HEADSTART_HOME", str(Path(scratch) / "home"))
        from headstart.sources.catalogue import open_source

        images, most = Path(scratch) / "images", peak()
        write_images(images, options.images)
        for name in options.models:
            source = open_source(str(write_model(name, Path(scratch) / name)))
            found = steps(name, source, options.batch)
            ours = our_epoch(source, images, options.batch, options.epochs, Path(scratch) / "trainings")
            theirs = their_epoch(name, images, options.batch, options.epochs)
            step, loop = ({"ours": n / a, "timm": n / b} for n, a, b in (
                (options.batch, found["ours"], found["timm"]), (options.images, ours, theirs)))  # fmt: skip
            share = {side: found["multiply_adds"] / found[side] / most for side in ("ours", "timm")}
            print(json.dumps({
                "model": name, "machine": machine(), "card": card, "torch": torch.__version__, "batch": options.batch,
                "step_images_a_second": step, "share_of_peak": share, "peak_multiply_adds_a_second": most,
                "loop_images_a_second": loop,
            }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
