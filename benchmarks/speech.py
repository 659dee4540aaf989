"""A recogniser tuned on minutes of one voice, on prompts of that voice that it never saw.

    python benchmarks/speech.py --language en --minutes 2 5 10 20

The prompts are those of Debian's packages asterisk-core-sounds-XX-wav and asterisk-core-sounds-XX: telephone prompts at
8 kHz, one speaker a language, 17 to 21 minutes each. Where they are not installed they are fetched (see
`speech_prompts`); on other systems unpack the packages, and name the folder that holds usr/ as PROMPTS or in
$HEADSTART_PROMPTS. Clips of 0.3 to 15 s count; texts in brackets and silence/ do not. Three in ten prompts, by the hash
of their name, are held out; of the others as many are learned from, in an order drawn from the seed, as fill the
minutes, and at most all.

Each line: what `headstart fit --task transcribe` ships against the untouched recogniser, on the prompts held out: word
error rate of both, and the paired difference with its 95 % interval over prompts.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from speech_prompts import VOICES, Prompt, found

from headstart.evidence.word_errors import Errors, count_errors
from headstart.speech.artefact import read_checkpoint
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.opening import open_checkpoint
from headstart.speech.recogniser import Recogniser
from headstart.speech.transcript import Unreadable
from headstart.workflow.transcription import transcribe
from headstart.workflow.transcription_options import STRATEGIES, TranscriptionOptions
from headstart.workflow.transcription_task import BEAM, ENGLISH, OTHERS


def filled(given: list[Prompt], minutes: float, seed: int) -> list[Prompt]:
    """Prompts at random until they fill the minutes."""
    order = [given[i] for i in np.random.default_rng(seed).permutation(len(given))]
    total = np.cumsum([prompt.seconds for prompt in order])
    return order[: int(np.searchsorted(total, 60 * minutes)) + 1]


def errors(checkpoint: Checkpoint, given: list[Prompt], language: str) -> Errors:
    heard = Recogniser(checkpoint).transcribe([one.path for one in given], language, beam=BEAM)
    texts = ["" if isinstance(one, Unreadable) else one.text for one in heard]
    return count_errors([one.text for one in given], texts, language)


def tuned(given: list[Prompt], language: str, source: str, strategy: str, seed: int) -> tuple[Checkpoint, dict]:
    """What a fit on these prompts ships, and its report."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "prompts.csv"
        with table.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("path", "text"))
            rows.writerows((one.path.resolve(), one.text) for one in given)
        out = Path(folder) / "tuned.headstart"
        options = TranscriptionOptions(out=out, source=source, language=language, strategy=strategy, seed=seed)
        report = transcribe(table, options).report
        return read_checkpoint(out), report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", type=Path, nargs="?", default=os.environ.get("HEADSTART_PROMPTS"))
    parser.add_argument("--language", choices=VOICES, default="en")
    parser.add_argument("--minutes", type=float, nargs="+", default=[2, 5, 10, 20])
    parser.add_argument("--source")
    parser.add_argument("--strategy", choices=STRATEGIES, default=STRATEGIES[0])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    source = args.source or (ENGLISH if args.language == "en" else OTHERS)
    spoken = found(args.language, None if args.prompts is None else Path(args.prompts))
    held = [one for one in spoken if one.held_out]
    rest = [one for one in spoken if not one.held_out]
    untouched = errors(open_checkpoint(source), held, args.language)
    print(f"{source}, {args.language}: {len(held)} prompts held out, untouched {100 * untouched.word_error_rate:.1f} %")
    for minutes in args.minutes:
        given = filled(rest, minutes, args.seed)
        started = time.perf_counter()
        checkpoint, report = tuned(given, args.language, source, args.strategy, args.seed)
        seconds = time.perf_counter() - started
        after = errors(checkpoint, held, args.language)
        gain = after.gain_over(untouched)
        learned = sum(one.seconds for one in given) / 60
        print(
            f"{learned:5.1f} min, {len(given):3d} clips: {report['chosen']['strategy']}, "
            f"{100 * after.word_error_rate:.1f} %, gain {100 * gain.value:+.1f} "
            f"[{100 * gain.low:.1f}, {100 * gain.high:.1f}], {seconds:.0f} s; {report['verdict']['text']}",
            flush=True,
        )


if __name__ == "__main__":
    main()
