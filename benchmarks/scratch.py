"""Labels saved against training from scratch: how few labels the frozen probe needs to do as well.

    python benchmarks/scratch.py [--sets hymenoptera blood pneumonia solar banking77 clinc_oos nlupp banking77-all
        clinc_oos-all fsdd-few esc10-few] [--seeds 1] [--images 60] [--labels 16]

The same architecture (EfficientNet-Lite0, MiniLM, Whisper tiny's encoder) from random weights, by the strategy
`scratch` (30 to 120 epochs), on --images labelled images in all, five sounds of each of ten classes, or --labels texts
of each of five close classes (-all: of every class). It is given the best of its readings by the test rows themselves,
which flatters it. The probe is kernel ridge on the later half of the frozen layers, no choice made, on 1, 2, 5, ... of
the same labels a class, mean of five draws. Labels saved: the labels of scratch over the fewest of the probe's that do
as well, at least where the fewest tried are enough. At most 300 test rows, 1,500 of all classes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import few_shot
import numpy as np
import tuning
from common import machine

IMAGES, TEXTS = ("hymenoptera", "blood", "pneumonia", "solar"), few_shot.SETS
WHOLE = ("banking77-all", "clinc_oos-all")
SETS = (*TEXTS, *WHOLE, *IMAGES, *tuning.SOUNDS)
SHOTS, DRAWS, TESTED = (1, 2, 5, 10, 20), 5, 300


def problem(name: str, images: int, labels: int, seed: int):
    """Items, targets, the rows to learn from and those to test."""
    from headstart.tasks import Target

    if name in WHOLE:
        return every_class(name.removesuffix("-all"), labels, seed)
    if name in TEXTS:
        task = few_shot.task(name, labels, seed)
        target = Target("multiclass", np.array(task.labels + task.truth), tuple(map(str, range(few_shot.CLASSES))))
        train, test = np.arange(len(task.train)), np.arange(len(task.train), len(target))
        items = task.train + task.test
    else:
        given = tuning.gather(name, seed)
        items, target, test = given.paths, given.target, given.test
        train = given.train if name in tuning.SOUNDS else alike(target.y, given.train, images // target.n_outputs, seed)
    test = np.sort(np.random.default_rng(seed).permutation(test)[:TESTED])
    return items, target, train, test


def every_class(name: str, labels: int, seed: int):
    """`labels` training texts of each class, and test texts."""
    from headstart.tasks import Target

    given, known, tested, truth = few_shot.files(name)
    classes = tuple(sorted(set(known)))
    y = np.array([classes.index(one) for one in known + truth])
    train = alike(y, np.arange(len(given)), labels, seed)
    test = np.random.default_rng(seed).permutation(np.arange(len(given), len(y)))[: 5 * TESTED]
    return given + tested, Target("multiclass", y, classes), train, np.sort(test)


def alike(y: np.ndarray, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` rows of each class."""
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate([rng.permutation(rows[y[rows] == c])[:count] for c in np.unique(y[rows])]))


def balanced(scores: np.ndarray, y: np.ndarray) -> float:
    """The mean recall of the classes."""
    return float(np.mean([(scores[y == c].argmax(1) == c).mean() for c in np.unique(y)]))


def compare(name: str, options: argparse.Namespace, seed: int, folder: Path) -> dict:
    from headstart import registry
    from headstart.adapt.base import Job
    from headstart.features.embed import embed
    from headstart.plan.views import layer_sets
    from headstart.sources.catalogue import open_source

    items, target, train, test = problem(name, options.images, options.labels, seed)
    used = np.concatenate([train, test])
    items, target = [items[i] for i in used], target.take(used)
    train, test = np.arange(len(train)), np.arange(len(train), len(used))
    source = open_source(
        "minilm_l6"
        if name in (*TEXTS, *WHOLE)
        else "whisper_tiny_en"
        if name in tuning.SOUNDS
        else "efficientnet_lite0"
    )
    job = Job(source, items, target, embed(items, source), folder, seed=seed)
    y = target.y.astype(int)
    scratch = registry.get("headstart.strategies", "scratch")
    readings = scratch.readings(job, len(train))
    start = time.perf_counter()
    learned = scratch.learn(job, train, test, readings)
    seconds = time.perf_counter() - start
    goal = max(balanced(scores, y[test]) for scores in learned.scores)
    head, late = registry.get("headstart.heads", "kernel"), layer_sets(source.taps)["late"]
    each, curve = len(train) // target.n_outputs, {}
    for shots in [s for s in SHOTS if s < each] + [each]:
        found = []
        for draw in range(DRAWS):
            rows = alike(y, train, shots, draw)
            fitted = head.fit(job.features.select(late, rows), target.take(rows))
            found.append(balanced(fitted.scores(job.features.select(late, test)), y[test]))
        curve[shots] = statistics.mean(found)
    enough = next((shots for shots, score in curve.items() if score >= goal), None)
    return {
        "set": name, "seed": seed, "labels_a_class": each, "tested": len(test), "scratch": goal, "epochs":
        readings[-1].epoch, "seconds": seconds, "probe": curve, "probe_needs": enough,
        "saved": each / enough if enough else None, "at_least": enough == min(curve),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--labels", type=int, default=16)
    options = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("HEADSTART_HOME", str(Path(folder) / "home"))
        for name in options.sets:
            for seed in range(options.seeds):
                runs.append(compare(name, options, seed, Path(folder) / "trainings"))
                print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    saved = [run["saved"] or 0.0 for run in runs]
    print(json.dumps({"machine": machine(), "median_saved": statistics.median(saved), "runs": runs}, indent=1))


if __name__ == "__main__":
    main()
