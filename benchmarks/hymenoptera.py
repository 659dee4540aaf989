"""hymenoptera, train to val: the whole `headstart fit` process against fastai's `fine_tune(1)`, same weights.

    python benchmarks/hymenoptera.py [--peer-python PYTHON] [--repeats 3]

Expected: accuracy on val at least 0.94 (a fit has no spread; one image is 0.65 points); the cold command, features not
cached, at least 12 times faster than the peer. "First ever" adds the export of the source and the choice of the engine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from common import DATA, ROOT, headstart, machine, need, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter that has fastai")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    data = need(DATA / "hymenoptera")
    with tempfile.TemporaryDirectory() as scratch:
        home, model = Path(scratch) / "home", Path(scratch) / "model.headstart"
        fit = ("fit", data / "train", "--source", "efficientnet_lite0", "--out", model)
        first = headstart(*fit, home=home)
        cold = []
        for _ in range(options.repeats):
            shutil.rmtree(home / "features")
            cold.append(headstart(*fit, home=home))
        warm = headstart(*fit, home=home)
        scored = headstart("evaluate", model, data / "val", home=home).json()
    peers = [
        run(
            [
                options.peer_python,
                str(ROOT / "benchmarks/peers/fastai_images.py"),
                str(data / "train"),
                str(data / "val"),
            ]
        )
        for _ in range(options.repeats)
    ]
    cold_seconds = statistics.median(r.seconds for r in cold)
    peer_seconds = statistics.median(r.seconds for r in peers)
    print(json.dumps({
        "machine": machine(),
        "headstart": {
            "accuracy": scored["metrics"]["accuracy"],
            "chosen": cold[-1].json()["chosen"],
            "estimate": cold[-1].json()["estimate"],
            "first_ever_seconds": first.seconds,
            "cold_seconds": sorted(r.seconds for r in cold),
            "warm_seconds": warm.seconds,
            "stages": cold[-1].json()["seconds"],
        },
        "fastai fine_tune(1)": {
            "accuracy": [r.json()["accuracy"] for r in peers],
            "seconds": sorted(r.seconds for r in peers),
        },
        "times_faster_cold": peer_seconds / cold_seconds,
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
