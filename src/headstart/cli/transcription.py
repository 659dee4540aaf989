"""headstart fit --task transcribe: tune a recogniser on transcribed speech."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headstart.cli.ending import INTERRUPTED
from headstart.cli.output import Output
from headstart.cli.parsing import default_out
from headstart.cli.tables import points, seconds, size, skipped_line, table
from headstart.errors import OptionError

_GROUPS_SHOWN = 10
# Options of other tasks, with what they are when they are not given.
_OTHERS: dict[str, Any] = {"modality": None, "time": None, "balance": False, "no_cache": False}


def fit_transcriber(args: argparse.Namespace, out: Output) -> int:
    """Fit, then print the report.

    Raises:
        OptionError: an option that other tasks have.
    """
    from headstart.workflow.transcription import transcribe
    from headstart.workflow.transcription_options import TranscriptionOptions

    odd = [f"--{name.replace('_', '-')}" for name, usual in _OTHERS.items() if getattr(args, name) != usual]
    if odd:
        raise OptionError(f"{', '.join(odd)}: of no meaning with --task transcribe; leave it out")
    for name, given in (("source", args.source), ("strategy", args.strategy)):
        if len(given) > 1:
            raise OptionError(f"--{name} was given {len(given)} times; --task transcribe takes one")
    strategy = {"strategy": args.strategy[0]} if args.strategy else {}
    options = TranscriptionOptions(
        out=args.out or default_out(args.data, ".headstart"),
        source=args.source[0] if args.source else None,
        language=args.language,
        budget=args.budget,
        input=args.input,
        label=args.label,
        group=args.group,
        seed=args.seed,
        **strategy,
    )
    progress = out.progress()
    result = transcribe(args.data, options, progress)
    if out.json:
        out.document(result.report)
    else:
        out.lines(note for note in result.report["notes"] if note not in progress.said)
        out.lines(describe(result.report))
        out.lines([f"saved {result.path} ({size(result.path.stat().st_size)})"])
    if result.interrupted:
        out.warn("interrupted: the best recogniser so far was kept; the same command goes on from there")
    return INTERRUPTED if result.interrupted else 0


def describe(report: Mapping[str, Any]) -> Iterator[str]:
    """The report as lines for people."""
    yield from skipped_line(report["skipped"])
    rows = [
        [
            f"{one['source']} · {one['strategy']}",
            _rate(one["metrics"]["word_error_rate"])
            + ("  ◀" if one["strategy"] == report["chosen"]["strategy"] else ""),
            points(one["metrics"]["character_error_rate"]["value"]),
            seconds(one["seconds"]),
        ]
        for one in report["candidates"]
    ]
    yield from table(["recogniser", "word error rate, % (95 % interval)", "characters, %", "time"], rows, right=(2, 3))
    yield report["verdict"]["text"]
    if report["words"]:
        yield from _words(report["words"])
    yield from by_group(report["by_group"])


def by_group(rows: Sequence[Mapping[str, Any]] | None) -> Iterator[str]:
    """The word error rates of the worst groups, of a fit's candidates or of a model's; nothing without groups."""
    if not rows:
        return
    shown = rows[:_GROUPS_SHOWN]
    worst = "the worst first" if len(shown) == len(rows) else f"the worst {len(shown)} of {len(rows)}; --json has all"
    yield f"by group, {worst}:"
    candidates = [one["strategy"] for one in rows[0].get("candidates", ())]
    changes = ["change, points"] if len(candidates) > 1 else []
    cells = [
        [
            str(row["group"] or "(none)"),
            str(row["n"]),
            str(row["words"]),
            *(_rate(one["metrics"]["word_error_rate"]) for one in row.get("candidates", [row])),
            *(_change(row["gain"]) for _ in changes),
        ]
        for row in shown
    ]
    heads = [f"{one}, %" for one in candidates or ["word error rate"]]
    yield from table(["group", "clips", "words", *heads, *changes], cells, right=(1, 2))


def _change(gain: Mapping[str, Any]) -> str:
    """A gain as the verdict has it: by how much the rate changes, "-4.0  [-6.1, -1.8]"."""
    known = [one for one in (gain["value"], gain["high"], gain["low"]) if one is not None]
    value, *ends = (f"{0.0 - round(100 * one, 1):+.1f}" for one in known) if known else ["-"]
    return f"{value}  [{', '.join(ends)}]" if ends else value


def _words(changed: Mapping[str, Any]) -> Iterator[str]:
    for kind, said in (("improved", "words improved"), ("worse", "words got worse")):
        top = ", ".join(f"{word} ({count})" for word, count in changed[f"top_{kind}"])
        yield f"{said}: {changed[kind]}{': ' * bool(top)}{top}"


def _rate(interval: Mapping[str, Any]) -> str:
    value, low, high = (points(interval[key]) for key in ("value", "low", "high"))
    return value if interval["low"] is None else f"{value}  [{low}, {high}]"
