"""ESC-10 on its own folds and FSDD one speaker out: accuracy against no transfer, and milliseconds a clip, cold.

    python benchmarks/sounds.py [--repeats 3] [--set esc10] [--set fsdd]

Expected: ESC-10 at least 93 %, FSDD at least 95 %. Aimed at: embedding at most 1.3 times the bare encoder. In the same
run, on as many threads: the bare encoder (prepared windows of every clip through the chosen graph, opened and warm), in
the chosen precision and in fp32; our decoder, spectrogram and descriptors, each alone; and the bare script, which is
what no embedding of files can do without: libsndfile, soxr, the spectrogram and the encoder, clip by clip, without
checks, descriptors or a cache. All are ratios of one machine in the same minutes; embedding also opens the engine.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common import DATA, headstart, machine, need

SOURCE = "whisper_tiny_en"
# Clips that a worker describes at a time.
_TOGETHER = 8


def esc10(scratch: Path) -> tuple[list[Path], tuple[str | Path, ...]]:
    """Class folders; the fold is the first number of a name."""
    folder = need(DATA / "esc10")
    return sorted(folder.glob("*/*.ogg")), (folder, "--group", r"fold=/(\d)-")


def fsdd(scratch: Path) -> tuple[list[Path], tuple[str | Path, ...]]:
    """A table of paths, digits and speakers: six groups, each tested by what was learned from the others."""
    files = sorted(need(DATA / "fsdd/recordings").glob("*.wav"))
    table = scratch / "fsdd.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "speaker"])
        for path in files:
            digit, speaker, _ = path.stem.split("_")
            rows.writerow([path, f"digit {digit}", speaker])
    return files, (table, "--label", "label", "--group", "speaker")


SETS: dict[str, Callable[[Path], tuple[list[Path], tuple[str | Path, ...]]]] = {"esc10": esc10, "fsdd": fsdd}


def milliseconds(work: Callable[[Any], object], items: Iterable[Any], workers: int) -> float:
    """Wall time of one item, where `workers` threads share them."""
    items = list(items)
    with ThreadPoolExecutor(workers) as pool:
        start = time.perf_counter()
        list(pool.map(work, items))
        return 1000 * (time.perf_counter() - start) / len(items)


def bare(files: list[Path], home: Path) -> dict[str, Any]:
    """Milliseconds a clip of each part alone, and of the script that is made of the libraries alone."""
    os.environ["HEADSTART_HOME"] = str(home)
    import soundfile
    import soxr

    from headstart.engines.choose import choose, open_graph, open_session
    from headstart.features import sound_baseline
    from headstart.features.sound_reader import windows
    from headstart.features.sounds import decode
    from headstart.fronts import prepare
    from headstart.sources.catalogue import open_source

    source = open_source(SOURCE)
    how, choice, taps = source.input, choose(source), [tap.name for tap in source.taps]
    started = time.perf_counter()
    session = open_session(source, choice, taps)
    opening = time.perf_counter() - started
    exact = open_graph(source.graph, taps)
    contents = [path.read_bytes() for path in files]
    sounds = [decode(data, [how.rate]).samples[how.rate] for data in contents]
    feeds = [[prepare(one, how) for one in windows(sound, how)] for sound in sounds]
    for one in feeds[:4]:
        session.run(one[0])
        exact.run(one[0])
    together = [sounds[i : i + _TOGETHER] for i in range(0, len(sounds), _TOGETHER)]
    workers = choice.workers

    def script(data: bytes) -> None:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
        mono = soxr.resample(samples.mean(axis=1), rate, how.rate)
        for window in windows(mono, how):
            session.run(prepare(window, how))

    return {
        "script": milliseconds(script, contents, workers),
        "opening": 1000 * opening / len(files),
        "encoder": milliseconds(lambda clip: [session.run(one) for one in clip], feeds, workers),
        "encoder_fp32": milliseconds(lambda clip: [exact.run(one) for one in clip], feeds, workers),
        "decoder": milliseconds(lambda data: decode(data, [how.rate]), contents, workers),
        "front": milliseconds(lambda sound: [prepare(one, how) for one in windows(sound, how)], sounds, workers),
        "descriptors": milliseconds(sound_baseline.describe, together, workers) / _TOGETHER,
        "engine": f"{choice.engine} {choice.precision}, {workers} workers",
    }


def measured(name: str, repeats: int, home: Path, scratch: Path) -> dict[str, Any]:
    """One set: fits with an empty feature cache, then the parts alone."""
    files, data = SETS[name](scratch)
    fit = ("fit", *data, "--source", SOURCE, "--out", scratch / f"{name}.headstart")
    headstart(*fit, home=home)  # exports the source and measures the engines
    cold = []
    for _ in range(repeats):
        shutil.rmtree(home / "features")
        cold.append(headstart(*fit, home=home))
    cold.sort(key=lambda run: run.json()["seconds"]["embed"])
    report = cold[len(cold) // 2].json()
    alone, each = bare(files, home), [1000 * run.json()["seconds"]["embed"] / len(files) for run in cold]
    middle = each[len(each) // 2]
    chosen = next(
        one for one in report["candidates"] if (one["source"], one["strategy"]) == tuple(report["chosen"].values())[:2]
    )
    return {
        "n": report["n"],
        "chosen": report["chosen"],
        "accuracy": chosen["metrics"]["accuracy"],
        "baseline": report["baseline"]["strategy"],
        "baseline_accuracy": report["baseline"]["metrics"]["accuracy"],
        "gain": report["verdict"]["gain"],
        "candidates": {f"{c['source']} {c['strategy']}": c["metrics"]["accuracy"] for c in report["candidates"]},
        "embedding_ms_a_clip": each,
        "alone_ms_a_clip": alone,
        "share_of_decoding": alone["decoder"] / middle,
        "times_the_bare_encoder": middle / alone["encoder"],
        "times_the_bare_encoder_in_fp32": middle / alone["encoder_fp32"],
        "times_the_bare_script": middle / alone["script"],
        "seconds": report["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--set", action="append", choices=sorted(SETS), dest="sets")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        sets = options.sets or sorted(SETS)
        found = {name: measured(name, options.repeats, scratch / "home", scratch) for name in sets}
        print(json.dumps({"machine": machine(), **found}, indent=1))


if __name__ == "__main__":
    main()
