"""1,000 JPEGs of 500 x 375, empty feature cache, to a saved calibrated model: images a second, and where the time goes.

    python benchmarks/images.py [--n 1000] [--repeats 3]

In the same run: the bare engine (prepared arrays through the chosen graph on all cores) and the bare decoder
(Pillow decode and resize on all cores). Their sum in time is the floor of the pipeline on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from common import DATA, headstart, machine, need
from PIL import Image


def generate(folder: Path, n: int) -> list[Path]:
    """n different JPEGs of 500 x 375: crops of the hymenoptera photographs, two classes."""
    rng = np.random.default_rng(0)
    goals = []
    for name in ("ants", "bees"):
        photographs = sorted((need(DATA / "hymenoptera/train") / name).iterdir())
        for k in range(n // 2):
            with Image.open(photographs[k % len(photographs)]) as image:
                w, h = image.size
                f = rng.uniform(0.7, 1.0)
                x, y = rng.uniform(0, (1 - f) * w), rng.uniform(0, (1 - f) * h)
                crop = image.convert("RGB").resize((500, 375), box=(x, y, x + f * w, y + f * h))
            goal = folder / name / f"{k:04d}.jpg"
            goal.parent.mkdir(parents=True, exist_ok=True)
            crop.save(goal, quality=90)
            goals.append(goal)
    return goals


def bare(files: list[Path], home: Path) -> dict:
    """Images a second of the decoder alone and of the engine alone."""
    os.environ["HEADSTART_HOME"] = str(home)
    from headstart.engines.choose import choose, open_session
    from headstart.features.images import prepare
    from headstart.sources.catalogue import open_source

    source = open_source("efficientnet_lite0")
    choice = choose(source)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        start = time.perf_counter()
        list(pool.map(lambda file: prepare(file, source.input), files))
        decode = len(files) / (time.perf_counter() - start)
        session = open_session(source, choice, [tap.name for tap in source.taps])
        batch = np.stack([prepare(file, source.input) for file in files[:8]])
        session.run({"image": batch})
        start = time.perf_counter()
        list(pool.map(lambda _: session.run({"image": batch}), range(len(files) // 8)))
        engine = len(files) // 8 * 8 / (time.perf_counter() - start)
    floor = 1 / (1 / decode + 1 / engine)
    return {
        "decoder": round(decode, 1),
        "engine": round(engine, 1),
        "floor": round(floor, 1),
        "choice": f"{choice.engine} {choice.precision}",
        "choice_measured_at": round(choice.items_per_second, 1),
    }


def everybody() -> float:
    """Seconds of processor time that all processes have used: what is not ours tells how quiet the machine was."""
    ticks = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return sum(map(int, ticks[1:4])) / os.sysconf("SC_CLK_TCK")


def own() -> float:
    """Seconds of processor time that finished children and this process have used."""
    children, here = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
    return children.ru_utime + children.ru_stime + here.ru_utime + here.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        files = generate(Path(scratch) / "data", options.n)
        fit = ("fit", Path(scratch) / "data", "--source", "efficientnet_lite0", "--out", Path(scratch) / "m.headstart")
        first = headstart(*fit, home=home)
        cold, before = [], everybody() - own()
        for _ in range(options.repeats):
            shutil.rmtree(home / "features")
            cold.append(headstart(*fit, home=home))
        warm = headstart(*fit, home=home)
        share = (everybody() - own() - before) / (os.cpu_count() * sum(r.seconds for r in cold))
        cold.sort(key=lambda r: r.seconds)
        middle = cold[len(cold) // 2]
        report = middle.json()
        print(json.dumps({
            "machine": machine(),
            "machine_used_by_others": round(share, 2),
            "n": options.n,
            "bare_images_per_second": bare(files, home),
            "first_ever_seconds": first.seconds,
            "cold_seconds": [r.seconds for r in cold],
            "images_per_second_embedding_each": [options.n / r.json()["seconds"]["embed"] for r in cold],
            "images_per_second_end_to_end": options.n / middle.seconds,
            "stages": report["seconds"],
            "candidates": {f"{c['source']} {c['strategy']}": c["seconds"] for c in report["candidates"]},
            "warm_seconds": warm.seconds,
        }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
