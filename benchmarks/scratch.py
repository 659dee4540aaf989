"""Labels saved against training from scratch: how few labels the frozen probe needs to do as well.

    python benchmarks/scratch.py [--sets hymenoptera blood pneumonia solar banking77 clinc_oos nlupp banking77-all
        clinc_oos-all digits emoji fsdd-few esc10-few] [--seeds 1] [--images 60] [--labels 16] [--sounds 5] [--tuned]

The same architecture (EfficientNet-Lite0, MiniLM, Whisper tiny's encoder) from random weights, by the strategy
`scratch` (30 to 120 epochs), on --images labelled images in all, --sounds sounds of each of ten classes, or --labels
texts of each of five close classes (-all: of every class). Two figures of it: `end`, the network's own head when
training ends, nothing chosen; and `best`, the best of all readings (epochs, own head or refitted by ridge) by the test
rows themselves, which flatters it. The probe is kernel ridge on the later half of the frozen layers, no choice made,
on 1, 2, 3, ... of the same labels a class, mean of five draws; with --tuned also contrastive learning at its last
reading, of two draws. Labels saved: the labels of scratch over the fewest that do as well, at least where the fewest
tried are enough. At most 300 test rows, 1,500 of all classes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import few_shot
import numpy as np
import tuning
from common import machine

if TYPE_CHECKING:
    from headstart.adapt.base import Job

IMAGES, TEXTS = ("hymenoptera", "blood", "pneumonia", "solar", *tuning.PACKAGES), few_shot.SETS
WHOLE = ("banking77-all", "clinc_oos-all")
SETS = (*TEXTS, *WHOLE, *IMAGES, *tuning.SOUNDS)
SHOTS, TESTED = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20), 300
DRAWS = {"probe": 5, "tuned": 2}


def problem(name: str, options: argparse.Namespace, seed: int):
    """Items, targets, the rows to learn from and those to test."""
    from headstart.tasks import Target

    if name in WHOLE:
        return every_class(name.removesuffix("-all"), options.labels, seed)
    if name in TEXTS:
        task = few_shot.task(name, options.labels, seed)
        target = Target("multiclass", np.array(task.labels + task.truth), tuple(map(str, range(few_shot.CLASSES))))
        train, test = np.arange(len(task.train)), np.arange(len(task.train), len(target))
        items = task.train + task.test
    else:
        given = tuning.gather(name, seed, options.sounds)
        items, target, test = given.paths, given.target, given.test
        shots = options.images // target.n_outputs
        train = given.train if name in tuning.SOUNDS else alike(target.y, given.train, shots, seed)
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
    from headstart.sources.catalogue import open_source

    items, target, train, test = problem(name, options, seed)
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
    reached = {reading: balanced(scores, y[test]) for reading, scores in zip(readings, learned.scores, strict=True)}
    goals = {"best": max(reached.values()), "end": max((r, v) for r, v in reached.items() if r.head == "own")[1]}
    each = len(train) // target.n_outputs
    curves = {"probe": curve(probe, DRAWS["probe"], job, train, test, each, goals["best"])}
    if options.tuned:
        curves["tuned"] = curve(tuned, DRAWS["tuned"], job, train, test, each, goals["best"])
    return {
        "set": name, "seed": seed, "labels_a_class": each, "tested": len(test), "scratch": goals, "epochs":
        readings[-1].epoch, "seconds": seconds, "curves": curves,
        "saved": {goal: {side: saved(found, score, each) for side, found in curves.items()}
                  for goal, score in goals.items()},
    }  # fmt: skip


def curve(
    side: Callable, draws: int, job: Job, train: np.ndarray, test: np.ndarray, each: int, goal: float
) -> dict[int, float]:
    """Labels a class -> balanced accuracy, the mean of `draws`; up to where it does as well as the goal."""
    y, found = job.target.y.astype(int), {}
    for shots in [s for s in SHOTS if s < each] + [each]:
        drawn = [alike(y, train, shots, draw) for draw in range(draws)]
        found[shots] = statistics.mean(balanced(side(job, rows, test), y[test]) for rows in drawn)
        if found[shots] >= goal:
            break
    return found


def probe(job: Job, rows: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Kernel ridge's scores on the later half of the layers."""
    from headstart import registry
    from headstart.plan.views import layer_sets

    head, late = registry.get("headstart.heads", "kernel"), layer_sets(job.source.taps)["late"]
    fitted = head.fit(job.features.select(late, rows), job.target.take(rows))
    return fitted.scores(job.features.select(late, test))


def tuned(job: Job, rows: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Contrastive learning's scores where it ends."""
    from headstart import registry

    strategy = registry.get("headstart.strategies", "contrastive")
    return strategy.learn(job, rows, test, [strategy.readings(job, len(rows))[-1]]).scores[-1]


def saved(found: dict[int, float], goal: float, each: int) -> dict:
    """The labels of scratch over the fewest that reach the goal; None where none do."""
    enough = next((shots for shots, score in found.items() if score >= goal), None)
    times = each / enough if enough else None
    return {"needs": enough, "times": times, "at_least": enough == min(found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--labels", type=int, default=16)
    parser.add_argument("--sounds", type=int, default=5)
    parser.add_argument("--tuned", action="store_true")
    options = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("HEADSTART_HOME", str(Path(folder) / "home"))
        for name in options.sets:
            for seed in range(options.seeds):
                runs.append(compare(name, options, seed, Path(folder) / "trainings"))
                print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    medians = {
        goal: statistics.median(max(one["times"] or 0.0 for one in run["saved"][goal].values()) for run in runs)
        for goal in ("best", "end")
    }
    print(json.dumps({"machine": machine(), "median_saved": medians, "runs": runs}, indent=1))


if __name__ == "__main__":
    main()
