"""A recogniser tuned on minutes of one voice, on prompts of that voice that it never saw.

    python benchmarks/speech.py PROMPTS --language en --minutes 2 5 10 20

PROMPTS (or $HEADSTART_PROMPTS) is the folder into which Debian's packages asterisk-core-sounds-XX-wav and
asterisk-core-sounds-XX were unpacked (the one that holds usr/): telephone prompts at 8 kHz, one speaker a language, 17
to 21 minutes each. Clips of 0.3 to 15 s count; texts in brackets and silence/ do not. Three in ten prompts, by the hash
of their name, are held out; of the others as many are learned from, in an order drawn from the seed, as fill the
minutes, and at most all.

Each line: what `headstart fit --task transcribe` ships against the untouched recogniser, on the prompts held out: word
error rate of both, and the paired difference with its 95 % interval over prompts.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.evidence.word_errors import Errors, count_errors
from headstart.speech.artefact import read_checkpoint
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.opening import open_checkpoint
from headstart.speech.recogniser import Recogniser
from headstart.speech.transcript import Unreadable
from headstart.workflow.transcription import BEAM, ENGLISH, OTHERS, transcribe
from headstart.workflow.transcription_options import STRATEGIES, TranscriptionOptions

VOICES = {
    "en": "en_US_f_Allison", "es": "es_MX_f_Allison", "fr": "fr_CA_f_June", "it": "it_IT_m_Carlo",
    "ru": "ru_RU_f_IvrvoiceRU",
}  # fmt: skip
HELD_OUT = 30  # of a hundred


@dataclass(frozen=True)
class Prompt:
    """A clip and what is said in it."""

    name: str
    path: Path
    text: str
    seconds: float

    @property
    def held_out(self) -> bool:
        return int(hashlib.sha256(self.name.encode()).hexdigest(), 16) % 100 < HELD_OUT


def prompts(root: Path, language: str) -> list[Prompt]:
    """The usable prompts of a language, in the order of their list."""
    import soundfile

    share = root / "usr" / "share"
    listed = share / "doc" / f"asterisk-core-sounds-{language}" / f"core-sounds-{language}.txt.gz"
    found: dict[str, Prompt] = {}
    for line in gzip.decompress(listed.read_bytes()).decode("utf-8-sig").splitlines():
        name, colon, text = (part.strip() for part in line.partition(":"))
        path = share / "asterisk" / "sounds" / VOICES[language] / f"{name}.wav"
        if line.startswith(";") or not colon or not text or text[0] in "[(<" or name.startswith("silence/"):
            continue
        if path.is_file() and 0.3 <= soundfile.info(path).duration <= 15:
            found.setdefault(name, Prompt(name, path, text, soundfile.info(path).duration))
    return list(found.values())


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
    if args.prompts is None:
        parser.error("name the folder of prompts, or set HEADSTART_PROMPTS")
    source = args.source or (ENGLISH if args.language == "en" else OTHERS)
    found = prompts(Path(args.prompts), args.language)
    held = [one for one in found if one.held_out]
    rest = [one for one in found if not one.held_out]
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
