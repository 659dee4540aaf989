"""Exact leave-one-out over 41 ridge penalties against scikit-learn's cross-validated logistic regression, one thread.

    python benchmarks/leave_one_out.py [--json] [--skip-peer]

Data: generated, 1,000 items of 1,280 columns in 100 classes (and other sizes for headstart alone), float32; and real
ones of that size, ten texts of each of 100 intents of clinc, in the last 1,280 columns that MiniLM has for them. Each
time is the best of three, the peer's of one. The peer is measured twice: over 6 penalties, and over its default grid of
10. Expected on a free core: 0.2 to 0.4 s of ridge at 1,000 x 1,280 x 100, and 22 to 26 times that for the peer on
generated data, whose classes are easily told apart.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import DATA, need
from threadpoolctl import threadpool_limits

from headstart.heads.kernel import Kernel
from headstart.heads.logistic import Logistic
from headstart.heads.means import ShrunkMeans
from headstart.heads.ridge import PENALTIES, Ridge
from headstart.tasks import Target

SIZES = ((1_000, 384, 10), (1_000, 1_280, 100), (10_000, 1_280, 100))
PEER_SIZE = (1_000, 1_280, 100)
PEERS = (("6 penalties", np.logspace(-5, 0, 6)), ("its 10 default penalties", 10))


def generated(n: int, d: int, classes: int) -> tuple[np.ndarray, Target]:
    """Gaussian classes, all of one covariance whose eigenvalues fall as 1 / rank: about what deep features show."""
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.arange(n) % classes)
    mix = rng.normal(size=(d, d)) * np.arange(1, d + 1) ** -0.5
    x = (0.5 * rng.normal(size=(classes, d))[codes] + rng.normal(size=(n, d))) @ mix.T
    return x.astype(np.float32), Target("multiclass", codes, tuple(f"{c:03d}" for c in range(classes)))


def real() -> tuple[np.ndarray, Target]:
    """Features of texts: 10 each of the first 100 intents by name, the 1,280 columns of the latest layers."""
    from headstart.features.embed import embed
    from headstart.sources.catalogue import open_source

    rows = json.loads((need(DATA / "clinc_oos") / "data_full.json").read_text())["train"]
    texts: dict[str, list[str]] = {}
    for text, intent in rows:
        texts.setdefault(intent, []).append(text)
    names = sorted(texts)[:100]
    items = [text for name in names for text in texts[name][:10]]
    order = np.random.default_rng(0).permutation(len(items))  # the peer's inner folds are contiguous
    x = embed([items[i] for i in order], open_source("minilm_l6")).matrix[:, -1280:]
    return x.astype(np.float32), Target("multiclass", order // 10, tuple(names))


def best_time(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The least wall seconds of some repeats, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def peer(x: np.ndarray, target: Target, penalties: int | np.ndarray) -> Any:
    """scikit-learn's own choice by 5 folds on standardised features; a number of penalties is a grid of its own."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    chosen = LogisticRegressionCV(
        Cs=penalties,
        cv=5,
        max_iter=1000,
        scoring="neg_log_loss",
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    )
    return make_pipeline(StandardScaler(), chosen).fit(x, target.y)


def measure(skip_peer: bool, skip_real: bool) -> list[dict[str, Any]]:
    """One row a fit: what, size, seconds, left-out accuracy."""
    rows = []
    sets = [("generated", *generated(*size)) for size in SIZES] + ([] if skip_real else [("real", *real())])
    for kind, x, target in sets:
        size = (*x.shape, target.n_outputs)
        heads = [("ridge", Ridge()), ("kernel", Kernel()), ("means", ShrunkMeans()), ("logistic", Logistic())]
        for name, head in heads if size == PEER_SIZE else heads[:1]:
            seconds, fitted = best_time(lambda: head.fit(x, target), 3)  # noqa: B023
            accuracy = float((fitted.loo_scores.argmax(axis=1) == target.y).mean())
            found = {"what": f"headstart {name}", "data": kind, "size": size, "seconds": seconds}
            rows.append(found | {"left_out_accuracy": accuracy})
        for words, penalties in PEERS if size == PEER_SIZE and not skip_peer else ():
            seconds, _ = best_time(lambda: peer(x, target, penalties), 1)  # noqa: B023
            what = f"scikit-learn LogisticRegressionCV, {words}"
            rows.append({"what": what, "data": kind, "size": size, "seconds": seconds, "left_out_accuracy": None})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--skip-peer", action="store_true", help="only headstart's heads")
    parser.add_argument("--skip-real", action="store_true", help="only generated data, which need no files")
    options = parser.parse_args()
    with threadpool_limits(1):
        rows = measure(options.skip_peer, options.skip_real)
    if options.json:
        print(json.dumps({"penalties": len(PENALTIES), "rows": rows}))
        return
    print(
        f"| one thread, {len(PENALTIES)} penalties for ridge | data | n / d / classes | seconds | left-out accuracy |"
    )
    print("|---|---|---|---|---|")
    for row in rows:
        n, d, classes = row["size"]
        accuracy = "" if row["left_out_accuracy"] is None else f"{row['left_out_accuracy']:.3f}"
        print(f"| {row['what']} | {row['data']} | {n:,} / {d:,} / {classes} | {row['seconds']:.2f} | {accuracy} |")


if __name__ == "__main__":
    main()
