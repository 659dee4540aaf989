"""What a lower precision of the source costs: the same head on features of every engine and precision, many sets.

    python benchmarks/precision.py

Kernel ridge and ridge on all frozen layers, five folds, the same ones throughout; differences in accuracy to ONNX
Runtime's fp32 features, paired over the items. A fit takes a lower precision only where the engine's probe (128
images, 96 texts) finds it true; here every one is measured. Accuracy does not depend on how busy the machine is.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from common import machine
from heads import sets

PRECISIONS = (("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("openvino", "bf16"), ("openvino", "int8"))


def right(features, target, head: str) -> np.ndarray:
    """(n,) 1 where the item's class is found by the fold that did not see it."""
    from headstart import registry
    from headstart.data.splits import folds
    from headstart.plan.views import layer_sets

    kind, taps = registry.get("headstart.heads", head), layer_sets(features.taps)["all"]
    if head == "kernel":
        kind = kind.of_blocks(tuple(tap.width for tap in taps))
    found = np.zeros(len(target))
    for fold in folds(target, k=5, seed=0):
        fitted = kind.fit(features.select(taps, fold.train), target.take(fold.train))
        found[fold.test] = fitted.scores(features.select(taps, fold.test)).argmax(1) == target.y[fold.test]
    return found


def main() -> None:
    from headstart.data.read import read
    from headstart.engines.memory import Choice
    from headstart.engines.processor import processor
    from headstart.evidence.intervals import paired_difference
    from headstart.features.embed import embed
    from headstart.sources.catalogue import default_sources, open_source

    gaps: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("HEADSTART_HOME", str(Path(scratch) / "home"))
        for name, data in sets():
            table = isinstance(data, pd.DataFrame)
            dataset = read(data, **({"input": "text", "label": "label"} if table else {}))
            source = open_source(default_sources(dataset.modality)[0])
            reference: dict[str, np.ndarray] = {}
            for engine, precision in PRECISIONS:
                choice = Choice(engine, precision, 1, processor().workers, 0.0)
                features = embed(dataset.items, source, choice=choice, use_cache=False)
                for head in ("kernel", "ridge"):
                    found = right(features, dataset.target, head)
                    reference.setdefault(head, found)
                    cost = paired_difference(found, reference[head]).json()
                    what = f"{head}, {engine} {precision}, {dataset.modality}s"
                    gaps[what].append(100 * cost["value"])
                    print(json.dumps({"set": name, "n": len(found), "what": what, "ran": str(features.choice and
                          features.choice.precision), "accuracy": round(100 * float(found.mean()), 2),
                          "cost": {k: round(100 * v, 2) for k, v in cost.items() if isinstance(v, float)}}),
                          flush=True)  # fmt: skip
    means = {what: {"sets": len(g), "mean_points": round(float(np.mean(g)), 2)} for what, g in gaps.items()}
    print(json.dumps({"machine": machine(), "costs": means}, indent=1))


if __name__ == "__main__":
    main()
