"""Few labelled texts: contrastive learning against SetFit with its default settings, the same MiniLM weights.

    python benchmarks/few_shot.py run RESULTS.jsonl --python PEER_PYTHON [--sets banking77 clinc_oos nlupp]
        [--labels 8 16] [--seeds 0 1 2 3 4] [--max-steps -1]
    python benchmarks/few_shot.py report RESULTS.jsonl
    python benchmarks/few_shot.py ours TASK.json          (what `run` starts, a process of its own)

A task has five classes that are easily taken for one another, as SetFit's list of pairs grows with the square of the
texts. banking77, clinc_oos: a class drawn by the seed and the four whose training texts are nearest to its own (cosine
of mean TF-IDF vectors); labels are drawn from the training file, all test rows of the five classes are predicted.
nlupp, whose texts have several intents: five intents drawn by the seed, and texts that have exactly one of them;
labels from folds 0 to 9 of both domains, test on folds 10 to 19, texts that are among those to learn from left out.
Both sides get the same texts.

Both learn and predict in a process of their own, with nothing cached but the model's files. --max-steps caps SetFit's
contrastive steps; -1, its default, is every pair once, which at 5 classes of 8 labels is 80 steps, of 16 labels 320.
"""

from __future__ import annotations

import argparse
import collections
import json
import statistics
import sys
import tempfile
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from common import DATA, ROOT, machine, need, run

SETS = ("banking77", "clinc_oos", "nlupp")
CLASSES = 5
LEAST_TESTED = 12  # texts of a class
TRAIN_FOLDS, TEST_FOLDS = range(10), range(10, 20)


@dataclass(frozen=True)
class Task:
    """Texts to learn from with their codes, texts to predict with theirs."""

    train: list[str]
    labels: list[int]
    test: list[str]
    truth: list[int]


def files(name: str) -> tuple[list[str], list[str], list[str], list[str]]:
    """Training texts and classes, test texts and classes."""
    folder = need(DATA / name)
    if name == "banking77":
        parts = [pd.read_csv(folder / f"{part}.csv") for part in ("train", "test")]
        return tuple(column.tolist() for part in parts for column in (part.text, part.category))
    full = json.loads((folder / "data_full.json").read_text())
    return tuple(list(column) for part in ("train", "test") for column in zip(*full[part], strict=True))


def nearest(texts: list[str], classes: list[str], seed: int) -> list[str]:
    """A class, and those whose texts have the nearest mean TF-IDF vectors."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors, labels = TfidfVectorizer(sublinear_tf=True).fit_transform(texts), np.array(classes)
    names = np.unique(labels)
    means = np.stack([np.asarray(vectors[labels == name].mean(axis=0)).ravel() for name in names])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    first = np.random.default_rng(seed).integers(len(names))
    order = np.argsort(-(means @ means[first]), kind="stable")
    return sorted(str(names[i]) for i in order[:CLASSES])


def intents(labels: int, seed: int) -> tuple[list[str], list[str], list[str], list[str]]:
    """nlupp: training texts and their one intent among five, test texts and theirs."""

    def folds(numbers: range) -> list[tuple[str, frozenset[str]]]:
        paths = [need(DATA / "nlupp" / "data" / d / f"fold{k}.json") for d in ("banking", "hotels") for k in numbers]
        rows = [row for path in paths for row in json.loads(path.read_text())]
        return [(row["text"], frozenset(row.get("intents") or ())) for row in rows]

    def only(rows: list[tuple[str, frozenset[str]]], chosen: frozenset[str]) -> tuple[list[str], list[str]]:
        kept = [(text, next(iter(has & chosen))) for text, has in rows if len(has & chosen) == 1]
        return [text for text, _ in kept], [intent for _, intent in kept]

    train, test = folds(TRAIN_FOLDS), folds(TEST_FOLDS)
    names = sorted({intent for _, has in train for intent in has})
    rng = np.random.default_rng(seed)
    while True:
        chosen = frozenset(str(name) for name in rng.choice(names, CLASSES, replace=False))
        (a, b), (c, d) = only(train, chosen), only(test, chosen)
        learned, tested = collections.Counter(b), collections.Counter(d)
        if all(learned[name] >= labels and tested[name] >= LEAST_TESTED for name in chosen):
            return a, b, c, d


def task(name: str, labels: int, seed: int) -> Task:
    """So many labels a class, drawn by the seed."""
    if name == "nlupp":
        texts, classes, test, truth = intents(labels, seed)
        chosen = sorted(set(classes))
    else:
        texts, classes, test, truth = files(name)
        chosen = nearest(texts, classes, seed)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    drawn = [int(i) for one in chosen for i in rng.permutation([i for i, c in enumerate(classes) if c == one])[:labels]]
    known = {texts[i] for i in drawn}
    tested = [i for i, c in enumerate(truth) if c in chosen and test[i] not in known]
    return Task(
        [texts[i] for i in drawn], [chosen.index(classes[i]) for i in drawn],
        [test[i] for i in tested], [chosen.index(truth[i]) for i in tested],
    )  # fmt: skip


def ours(path: Path) -> None:
    """Learn and predict one task; print JSON."""
    given = Task(**json.loads(path.read_text()))
    start = time.perf_counter()
    import accelerate  # noqa: F401
    import torch  # noqa: F401

    from headstart import registry
    from headstart.adapt.base import Job
    from headstart.adapt.cuts import last_tap
    from headstart.features.embed import embed
    from headstart.heads.logistic import Logistic
    from headstart.sources.catalogue import open_source
    from headstart.tasks import Target

    imported = time.perf_counter()
    source = open_source("minilm_l6")
    items, n = given.train + given.test, len(given.train)
    train, test = np.arange(n), np.arange(n, len(items))
    hidden = np.zeros(len(test), np.int64)  # nothing learns from them, and they are not there to be learned from
    y = np.concatenate([np.array(given.labels), hidden])
    target = Target("multiclass", y, tuple(str(code) for code in range(CLASSES)))
    with tempfile.TemporaryDirectory() as scratch:
        features = embed(items, source, use_cache=False)
        job = Job(source, items, target, features, Path(scratch))
        strategy = registry.get("headstart.strategies", "contrastive")
        learned = strategy.learn(job, train, test, [strategy.readings(job, n)[-1]])
    finished = time.perf_counter()
    tap = [last_tap(source)]
    probe = Logistic().fit(features.select(tap, train), target.take(train))
    result = {
        "predicted": learned.scores[-1].argmax(axis=1).tolist(),
        "probe": probe.scores(features.select(tap, test)).argmax(axis=1).tolist(),
        "imports": imported - start,
        "seconds": finished - imported,
    }
    print(json.dumps(result))


def measure(name: str, labels: int, seed: int, python: str, steps: int) -> dict:
    """One task, both sides, one after the other."""
    one = task(name, labels, seed)
    truth = np.array(one.truth)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "task.json"
        path.write_text(json.dumps(asdict(one)))
        mine = run([sys.executable, str(ROOT / "benchmarks" / "few_shot.py"), "ours", str(path)],
                   {"HEADSTART_CACHE_BYTES": "0"})  # fmt: skip
        options = ["--max-steps", str(steps), "--seed", str(seed)]
        peer = run([python, str(ROOT / "benchmarks" / "peers" / "setfit_texts.py"), str(path), *options])
    own, theirs = (json.loads(done.stdout.splitlines()[-1]) for done in (mine, peer))

    def right(predicted: list[int]) -> float:
        return 100 * float((np.array(predicted) == truth).mean())

    return {
        "set": name, "labels": labels, "seed": seed, "tested": len(truth), "max_steps": steps,
        "probe": right(own["probe"]), "contrastive": right(own["predicted"]), "setfit": right(theirs["predicted"]),
        "seconds": {"contrastive": own["seconds"], "setfit": theirs["train"] + theirs["predict"]},
        "process": {"contrastive": mine.seconds, "setfit": peer.seconds},
        "steps": theirs["steps"], "versions": theirs["versions"], "machine": machine(),
    }  # fmt: skip


def report(results: list[dict]) -> None:
    """Means over seeds, a line each set and count of labels, and over sets."""
    groups: dict[tuple[int, str], list[dict]] = collections.defaultdict(list)
    for one in results:
        groups[one["labels"], one["set"]].append(one)
        groups[one["labels"], "all"].append(one)
    for (labels, name), rows in sorted(groups.items()):
        mean = {key: statistics.mean(row[key] for row in rows) for key in ("probe", "contrastive", "setfit")}
        gaps = [row["contrastive"] - row["setfit"] for row in rows]
        seconds = {key: statistics.mean(row["seconds"][key] for row in rows) for key in ("contrastive", "setfit")}
        whole = {key: statistics.mean(row["process"][key] for row in rows) for key in ("contrastive", "setfit")}
        print(
            f"{labels:2d} labels {name:9s} n={len(rows):2d}  probe {mean['probe']:.1f}  "
            f"contrastive {mean['contrastive']:.1f}  setfit {mean['setfit']:.1f}  "
            f"gap {statistics.mean(gaps):+.1f} (sd {statistics.stdev(gaps) if len(gaps) > 1 else 0:.1f})  "
            f"seconds {seconds['contrastive']:.1f} / {seconds['setfit']:.1f} = "
            f"1/{seconds['setfit'] / seconds['contrastive']:.1f}  "
            f"process {whole['contrastive']:.1f} / {whole['setfit']:.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report", "ours"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--python", help="of the environment with setfit", default=sys.executable)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--labels", nargs="+", type=int, default=(8, 16))
    parser.add_argument("--seeds", nargs="+", type=int, default=range(5))
    parser.add_argument("--max-steps", type=int, default=-1)
    options = parser.parse_args()
    if options.what == "ours":
        ours(options.file)
    elif options.what == "report":
        report([json.loads(line) for line in options.file.read_text().splitlines()])
    else:
        for labels in options.labels:
            for name in options.sets:
                for seed in options.seeds:
                    found = measure(name, labels, seed, options.python, options.max_steps)
                    with options.file.open("a") as file:
                        file.write(json.dumps(found) + "\n")
                    report([found])


if __name__ == "__main__":
    main()
