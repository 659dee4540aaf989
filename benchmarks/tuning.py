"""Weights that move, against weights that do not, and against how others move them.

    python benchmarks/tuning.py speed [--peer none|fastai|timm] [--python PEER_PYTHON]
    python benchmarks/tuning.py gain pneumonia|pneumonia-600|pneumonia-few|solar|solar-few|blood|hymenoptera|digits|
        emoji|esc10-few|fsdd-few [--seeds 3]

`speed`: epochs a second of last-stages on activations cached on disk, the trunk's pass over all views told apart; with
a peer, the same layers of the same EfficientNet-Lite0 on the same images and processor, in a process of its own. Solar
cells: 500 to learn from, 600 others to score.

`gain`: tuned against frozen, on items that neither saw (a given test part; of the solar cells, the digits and the emoji
one half). Both sides choose by folds of the training items alone: frozen
its layers and head, tuned its epoch and blend. The gain is paired over the test items; per seed other training items
are drawn (where not all are used) and the trainings' own randomness changes.

Sounds (Whisper tiny.en's encoder): of ESC-10 five clips a class of its folds 1 to 3, tested on folds 4 and 5; of FSDD
five a digit of three speakers, tested on 300 clips of the three others.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import image_packages
import numpy as np
from common import DATA, ROOT, machine, need, run
from image_packages import PACKAGES

CHOICES = ("pneumonia", "pneumonia-600", "pneumonia-few", "solar", "solar-few", "blood", "hymenoptera", *PACKAGES)
SOUNDS = ("esc10-few", "fsdd-few")
FEW = {"pneumonia-600": 600, "pneumonia-few": 100, "solar-few": 200, "blood": 60, "digits": 500}


@dataclass(frozen=True, eq=False)
class Items:
    """Training and test images or sounds, with their labels."""

    paths: list[Path]
    target: object
    train: np.ndarray
    test: np.ndarray


def gather(name: str, seed: int, sounds: int = 5) -> Items:
    """The items of a benchmark set; a few of the training items where its name says so, of `sounds` so many a class."""
    from headstart.data.read import read
    from headstart.data.samples import sample_path
    from headstart.tasks import Target

    if name in SOUNDS:
        return gather_sounds(name, seed, sounds)
    if name.startswith("solar"):
        folders = [sample_path("solar-cells")]
    elif name in PACKAGES:
        folders = [image_packages.folder(name)]
    else:
        folder, parts = {
            "blood": ("bccd/crops", ("train", "test")),
            "hymenoptera": ("hymenoptera", ("train", "val")),
        }.get(name, ("pneumoniamnist", ("train", "test")))
        folders = [need(DATA / folder / part) for part in parts]
    sets = [read(folder) for folder in folders]
    paths = [Path(item) for one in sets for item in one.items]
    target = Target(sets[0].target.task, np.concatenate([one.target.y for one in sets]), sets[0].target.classes)
    if len(sets) == 2:
        train, test = np.arange(len(sets[0])), np.arange(len(sets[0]), len(paths))
    else:  # half and half, the same for every seed
        order = np.random.default_rng(7).permutation(len(paths))
        train, test = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    if name in FEW:
        train = few(target.y, train, FEW[name], seed)
    return Items(paths, target, train, test)


def gather_sounds(name: str, seed: int, each: int) -> Items:
    """A few clips of some folds or speakers to learn from; those to test are of the others."""
    from headstart.tasks import Target

    if name == "esc10-few":
        paths = sorted(need(DATA / "esc10").glob("*/*.ogg"))
        labels, learned = [p.parent.name for p in paths], [p.name[0] in "123" for p in paths]
    else:
        paths = sorted(p for p in need(DATA / "fsdd/recordings").glob("*.wav") if int(p.stem.split("_")[2]) < 10)
        labels = [p.name[0] for p in paths]
        learned = [p.stem.split("_")[1] in ("george", "jackson", "lucas") for p in paths]
    classes = tuple(sorted(set(labels)))
    target = Target("multiclass", np.array([classes.index(label) for label in labels]), classes)
    pool, test = np.flatnonzero(learned), np.flatnonzero(~np.array(learned))
    return Items(paths, target, few(target.y, pool, each * len(classes), seed), test)


def few(y: np.ndarray, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` of the rows, classes in proportion but at least five of each."""
    rng = np.random.default_rng(seed)
    share = [np.flatnonzero(y[rows] == c) for c in np.unique(y[rows])]
    picked = [rng.permutation(s)[: max(5, round(count * len(s) / len(rows)))] for s in share]
    return np.sort(rows[np.concatenate(picked)])


def job_of(items: Items, folder: Path, seed: int, source: str = "efficientnet_lite0"):
    from headstart.adapt.base import Job
    from headstart.features.embed import embed
    from headstart.sources.catalogue import open_source

    opened = open_source(source)
    return Job(opened, items.paths, items.target, embed(items.paths, opened), folder, seed=seed)


def frozen_scores(job, items: Items, folds) -> tuple[str, np.ndarray]:
    """The best frozen candidate by out-of-fold score, and its probabilities of the test items."""
    from headstart.evidence.metrics import item_scores, score
    from headstart.plan.candidates import frozen
    from headstart.plan.crossfit import Problem
    from headstart.plan.views import SourceView, layer_sets

    problem = Problem(items.target, folds, None, None, job.seed)
    tested, best = problem.tested(), None
    for layers, taps in layer_sets(job.source.taps).items():
        view = SourceView(job.features, job.source, taps, layers)
        for head in ("ridge", "kernel", "logistic"):
            candidate = frozen(view, head)
            said = candidate.crossfit(problem).probabilities[tested]
            target = items.target.take(tested)
            merit = item_scores(target, said).mean(), -score(target, said)["log_loss"]
            if best is None or merit > best[0]:
                best = merit, candidate
    candidate = best[1]
    from headstart.evidence.calibration import Calibration

    fitted = candidate.head.fit(candidate.view.matrix(items.train), items.target.take(items.train))
    calibration = Calibration.fit(items.target.task, fitted.loo_scores, items.target.take(items.train))
    return candidate.strategy, calibration.probabilities(fitted.scores(candidate.view.matrix(items.test)))


def tuned_scores(job, items: Items, folds, strategy: str) -> tuple[str, np.ndarray]:
    """A strategy at the reading that folds of the training items choose, and its probabilities of the test items."""
    from headstart import registry
    from headstart.plan.readings import read_off

    learner = registry.get("headstart.strategies", strategy)
    readings = learner.readings(job, len(folds[0].train))
    given = {k: learner.learn(job, fold.train, fold.test, readings).scores for k, fold in enumerate(folds)}
    off = read_off(items.target, folds, given, readings)
    learned = learner.learn(job, items.train, items.test, [off.reading])
    what = f"{strategy} at {off.reading.words}"
    return what, off.calibration.probabilities(learned.scores[0])


def folds_of(items: Items, seed: int, k: int = 3):
    """Folds of the training items, by position among all items."""
    from headstart.data.splits import Fold, folds

    found = folds(items.target.take(items.train), k=k, seed=seed)
    return [Fold(items.train[fold.train], items.train[fold.test]) for fold in found]


def compare(name: str, seed: int, strategy: str, folder: Path) -> dict:
    """Both sides on one draw."""
    from headstart.evidence.intervals import paired_difference

    items = gather(name, seed)
    source = "whisper_tiny_en" if name in SOUNDS else "efficientnet_lite0"
    job, folds = job_of(items, folder, seed, source), folds_of(items, seed)
    start = time.perf_counter()
    frozen_name, frozen = frozen_scores(job, items, folds)
    middle = time.perf_counter()
    tuned_name, tuned = tuned_scores(job, items, folds, strategy)
    seconds = {"frozen": middle - start, "tuned": time.perf_counter() - middle}
    y = items.target.y[items.test].astype(int)
    weights = (len(y) / (np.bincount(y).astype(bool).sum() * np.bincount(y)))[y]  # their mean is balanced accuracy
    right = {side: (p.argmax(1) == y).astype(float) for side, p in (("frozen", frozen), ("tuned", tuned))}
    loss = {side: -np.log(p[np.arange(len(y)), y]) for side, p in (("frozen", frozen), ("tuned", tuned))}
    measures = {"accuracy": right, "balanced": {s: r * weights for s, r in right.items()}, "log_loss": loss}
    return {
        "seed": seed, "train": len(items.train), "test": len(items.test), "frozen": frozen_name, "tuned": tuned_name,
        "seconds": seconds,
        **{
            m: {side: float(v.mean()) for side, v in by.items()}
            | {"gain": paired_difference(by["tuned"], by["frozen"]).json()}
            for m, by in measures.items()
        },
    }  # fmt: skip


def gain(options: argparse.Namespace, folder: Path) -> dict:
    from headstart.evidence.intervals import mean_interval

    runs = []
    for seed in range(options.seeds):
        runs.append(compare(options.set, seed, options.strategy, folder))
        print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    gains = {m: [r[m]["gain"]["value"] for r in runs] for m in ("accuracy", "balanced", "log_loss")}
    spread = {m: {"mean": float(np.mean(g)), "low": min(g), "high": max(g)} for m, g in gains.items()}
    if len(runs) > 2:
        spread["accuracy"]["interval over seeds"] = mean_interval(np.array(gains["accuracy"])).json()
    return {"set": options.set, "machine": machine(), "gains": spread, "runs": runs}


def speed(options: argparse.Namespace, folder: Path) -> dict:
    """Ours in this process, the peer in its own; the images are linked into class folders for it."""
    from dataclasses import replace

    from headstart.adapt import recipe
    from headstart.adapt.base import Reading
    from headstart.adapt.last_stages import LastStages

    everything = gather("solar", 0)
    rng = np.random.default_rng(0)
    train, test = rng.permutation(everything.train)[: options.images], everything.test[:600]
    items = Items(everything.paths, everything.target, train, test)
    found = {"machine": machine(), "images": len(train)}
    if options.peer == "none":
        job = job_of(items, folder, 0)
        strategy = LastStages()
        how = strategy.recipe(job, len(train))
        how = replace(how, settings=replace(how.settings, epochs=options.epochs))
        start = time.perf_counter()
        recipe.learn(job, replace(how, settings=replace(how.settings, epochs=1)), train, test, [Reading(0)])
        trunk = time.perf_counter() - start
        start = time.perf_counter()
        none = recipe.learn(job, how, train, test, [Reading(0)])
        setup = time.perf_counter() - start
        start = time.perf_counter()
        learned = recipe.learn(job, how, train, test, [Reading(options.epochs)])
        seconds = time.perf_counter() - start - setup
        y = items.target.y[test]
        return found | {
            "views": how.views, "trunk_seconds": trunk - setup, "seconds_an_epoch": seconds / options.epochs,
            "images_a_second": len(train) * options.epochs / seconds,
            "accuracy": float((learned.scores[-1].argmax(1) == y).mean()),
            "accuracy_before": float((none.scores[-1].argmax(1) == y).mean()),
        }  # fmt: skip
    for part, rows in (("train", train), ("valid", test)):
        for row in rows:
            goal = folder / part / items.target.classes[items.target.y[row]] / items.paths[row].name
            goal.parent.mkdir(parents=True, exist_ok=True)
            goal.symlink_to(items.paths[row].resolve())
    peer = [options.python, str(ROOT / "benchmarks/peers/stages.py"), options.peer, str(folder / "train")]
    said = run([*peer, str(folder / "valid"), "--epochs", str(options.epochs)]).json()
    seconds = said["seconds"]
    return found | said | {
        "seconds_an_epoch": float(np.median(seconds)), "images_a_second": said["images"] / float(np.median(seconds))
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("speed")
    one.add_argument("--peer", choices=("none", "fastai", "timm"), default="none")
    one.add_argument("--python", default=sys.executable, help="the interpreter that has the peer")
    one.add_argument("--images", type=int, default=500)
    one.add_argument("--epochs", type=int, default=8)
    two = commands.add_parser("gain")
    two.add_argument("set", choices=(*CHOICES, *SOUNDS))
    two.add_argument("--seeds", type=int, default=3)
    two.add_argument("--strategy", default="last-stages")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("HEADSTART_HOME", str(Path(scratch) / "home"))
        work = {"speed": speed, "gain": gain}[options.command]
        print(json.dumps(work(options, Path(scratch)), indent=1))


if __name__ == "__main__":
    main()
