"""Time and memory against the number of images, up to 50,000 generated ones.

    python benchmarks/scale.py [--sizes 1000,5000,20000,50000] [--plot docs/scale.svg]

Each size is one whole `headstart fit` process on 64 x 64 PNGs in four noisy classes. Expected: time in proportion to n,
peak resident memory bounded (below 1.5 GB at 50,000).
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from common import headstart, machine
from PIL import Image


def generate(folder: Path, n: int) -> None:
    """n PNGs: a bright blob in one of four quadrants, over noise."""
    rng = np.random.default_rng(0)
    for k in range(n):
        label = k % 4
        pixels = rng.integers(0, 160, (64, 64, 3), dtype=np.uint8)
        y, x = 16 + 32 * (label // 2) + rng.integers(-8, 8), 16 + 32 * (label % 2) + rng.integers(-8, 8)
        pixels[y - 7 : y + 7, x - 7 : x + 7] += np.uint8(60)
        goal = folder / f"class{label}" / f"{k:06d}.png"
        goal.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(goal, compress_level=1)


def draw(rows: list[dict], goal: Path) -> None:
    """Whole-process seconds and peak memory against the number of images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    n = [row["n"] for row in rows]
    left.plot(n, [row["seconds"] for row in rows], "o-")
    left.set(xlabel="images", ylabel="seconds, whole fit", ylim=(0, None))
    right.plot(n, [row["peak_GB"] for row in rows], "o-")
    right.axhline(1.5, linestyle=":", color="grey")
    right.set(xlabel="images", ylabel="peak resident memory (GB)", ylim=(0, None))
    figure.savefig(goal)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,5000,20000,50000")
    parser.add_argument("--plot", type=Path, help="draw time and memory against n to this file (needs matplotlib)")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for n in sorted(map(int, options.sizes.split(","))):
            folder, home = Path(scratch) / str(n), Path(scratch) / "home"
            generate(folder, n)
            shutil.rmtree(home / "features", ignore_errors=True)  # smaller sets begin with the same images
            done = headstart("fit", folder, "--out", Path(scratch) / "m.headstart", home=home)
            rows.append(
                {"n": n, "seconds": done.seconds, "peak_GB": done.peak_bytes / 1e9, "stages": done.json()["seconds"]}
            )
            print(json.dumps(rows[-1]), flush=True)
    print(json.dumps({"machine": machine(), "rows": rows}))
    if options.plot:
        draw(rows, options.plot)


if __name__ == "__main__":
    main()
