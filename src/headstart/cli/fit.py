"""headstart fit: learn from labelled data."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headstart.cli.ending import INTERRUPTED
from headstart.cli.output import Output
from headstart.cli.parsing import GROUP_HELP, LABEL_HELP, default_out, duration, new_command
from headstart.cli.tables import decimals, metric, seconds, size, skipped_line, table
from headstart.errors import OptionError

# The words of headstart.tasks and headstart.data, which import NumPy; a test compares them.
TASKS = ("binary", "multiclass", "multilabel", "regression")
TRANSCRIBE = "transcribe"
MODALITIES = ("image", "text", "sound", "table")

_TITLES = {"samples_f1": "sample F1", "r2": "R2", "balanced_accuracy": "balanced accuracy"}
_LOSSES = {"r2": "rmse", "balanced_accuracy": "balanced_log_loss"}
_DESCRIPTION = """\
Learn from labelled data, prove on the same folds what transfer brought, and save one model file.

DATA is a folder of class folders (images, sounds or .txt), or a table (.csv .tsv .parquet .jsonl) of texts, of paths
to images or sounds, or of numbers. Modality, task and columns are inferred and said; the options override them.
--group 'speaker=_(\\w+)_' reads groups off the files' names: what the pattern's first (...) matches; so does --label.

Strategies: frozen (all of frozen-ridge, frozen-kernel, frozen-logistic, frozen-weighted, frozen-means, frozen-knn)
learns a head on what a source says.
last-stages-light, last-stages, last-stages-deep, lp-ft, lora, full and contrastive move the source's own weights;
scratch trains the same network from random ones, as a baseline. Without a name the frozen ones are tried, and with
--budget also those that move weights: the first model is saved before and replaced when a better one is proven
on the same folds. Ctrl-C keeps the best so far, and the same command goes on from there. What a budget finds depends
on the machine's speed; without one the same data, options and seed give the same file, on one machine with the same
engine choice. HEADSTART_HOME keeps that in engines.json: copied into another HEADSTART_HOME, it holds there, too.
A recogniser's decoder (--task transcribe) is moved by lora or last-stages, its encoder too by lora-all or full.
"""
_EXAMPLES = """\
  headstart fit birds/
  headstart fit reviews.csv --input text --label stars --task multiclass
  headstart fit scans/ --group patient --budget 5m --out scans.headstart
  headstart fit scans/ --strategy last-stages
  headstart fit clips/ --group 'speaker=_(\\w+)_'
  headstart fit recordings/ --label 'digit=^(\\d+)_' --group 'speaker=_(\\w+)_'
  headstart fit calls.csv --task transcribe --language es --group speaker
  headstart fit birds/ --source efficientnet_lite2 --strategy frozen-ridge --json
"""
_KEPT = "what was embedded is in the cache, so the same command goes on from there; an older model file is untouched"
_BEST_KEPT = "interrupted: the best model so far was kept; the same command goes on from there"


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    parser = new_command(
        commands,
        "fit",
        run,
        summary="learn from labelled data and save a model",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
        kept=_KEPT,
    )
    parser.add_argument("data", metavar="DATA", help="a folder of class folders, or a table")
    parser.add_argument("--out", metavar="FILE", type=Path, help="where to save (default: DATA's name.headstart, here)")
    repeated: dict[str, Any] = {"action": "append", "default": []}
    parser.add_argument("--source", metavar="S", **repeated, help="a pretrained source to try; may be repeated")
    parser.add_argument("--strategy", metavar="S", **repeated, help="a way to adapt it; may be repeated")
    parser.add_argument(
        "--budget", metavar="TIME", type=duration, help="also move weights, and stop trying more after 90s, 5m, 1h"
    )
    parser.add_argument("--modality", choices=MODALITIES, help="what the items are")
    parser.add_argument("--task", choices=(*TASKS, TRANSCRIBE), help="what is to be learned")
    parser.add_argument("--language", metavar="CODE", help="with --task transcribe: what is spoken, as en, es, fr")
    parser.add_argument("--input", metavar="COLUMN", help="the table's column of texts or paths")
    parser.add_argument("--label", metavar="COLUMN", help=LABEL_HELP)
    parser.add_argument("--group", metavar="COLUMN", help=GROUP_HELP)
    parser.add_argument("--time", metavar="COLUMN", help="when it was: later items are never used to predict earlier")
    parser.add_argument("--balance", action="store_true", help="let every class count the same")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of folds and fits (default: 0)")
    parser.add_argument("--no-cache", action="store_true", help="do not keep features on disk")


def run(args: argparse.Namespace, out: Output) -> int:
    """Fit, then print the report."""
    if args.task == TRANSCRIBE:
        from headstart.cli.transcription import fit_transcriber

        return fit_transcriber(args, out)
    if args.language is not None:
        raise OptionError(f"--language {args.language} is of speech to text: add --task {TRANSCRIBE}, or leave it out")
    from headstart.workflow import FitOptions, fit

    options = FitOptions(
        out=args.out or default_out(args.data, ".headstart"),
        sources=tuple(args.source),
        strategies=tuple(args.strategy),
        budget=args.budget,
        modality=args.modality,
        task=args.task,
        input=args.input,
        label=args.label,
        group=args.group,
        time=args.time,
        balance=args.balance,
        seed=args.seed,
        cache=not args.no_cache,
    )
    progress = out.progress()
    result = fit(args.data, options, progress)
    if out.json:
        out.document(result.report)
    else:
        out.lines(note for note in result.report.get("notes", ()) if note not in progress.said)
        out.lines(describe(result.report))
        out.lines([f"saved {result.path} ({size(result.path.stat().st_size)})"])
    if result.interrupted:
        out.warn(_BEST_KEPT)
    return INTERRUPTED if result.interrupted else 0


def describe(report: Mapping[str, Any]) -> Iterator[str]:
    """The report of a fit as lines for people."""
    yield from skipped_line(report.get("skipped") or [])
    yield from _candidates(report)
    points = f"{100 * (report.get('optimism') or 0.0):.1f}"
    if points != "0.0":
        honest = metric(report.get("metric", "accuracy"), report.get("estimate"))
        yield f"choosing among these flatters the chosen by {points} points; without that: {honest}"
    yield report["verdict"]["text"]
    if report.get("moved"):
        yield _moved(report["moved"])


def _moved(moved: Mapping[str, Any]) -> str:
    """Which share of the source was moved, and how far."""
    share = f"{moved['parameters'] / 1e6:.2f} of {moved['of'] / 1e6:.2f} million weights of {moved['source']}"
    back = "" if moved["blend"] == 1 else f", then {1 - moved['blend']:.0%} of the way back to the source"
    return f"moved: {share} by {moved['strategy']}, {moved['epoch']} epochs{back}"


def _candidates(report: Mapping[str, Any]) -> list[str]:
    """One line a candidate, an arrow at the one that ships."""
    primary = report.get("metric", "accuracy")
    loss = _LOSSES.get(primary, "log_loss")
    candidates, baseline = list(report["candidates"]), report.get("baseline")
    if baseline is not None and not any(_same(baseline, candidate) for candidate in candidates):
        candidates.insert(0, baseline)
    rows = [
        [
            f"{_source(candidate)} · {candidate['strategy']}{_part(candidate, report)}",
            metric(primary, candidate["metrics"].get(primary)) + ("  ◀" if _same(candidate, report["chosen"]) else ""),
            decimals((candidate["metrics"].get(loss) or {}).get("value")),
            seconds(candidate.get("seconds")),
        ]
        for candidate in candidates
    ]
    header = ["strategy", f"{_TITLES.get(primary, primary)} (95 % interval)", loss.replace("_", " "), "time"]
    return table(header, rows, right=(2, 3))


def _part(candidate: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """How many folds it had time for, where that was not all."""
    folds, whole = candidate.get("folds"), report.get("folds")
    return "" if folds == whole else f" ({folds} of {whole} folds)"


def _source(candidate: Mapping[str, Any]) -> str:
    return "no transfer" if candidate["source"] in (None, "none") else str(candidate["source"])


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return (a["source"], a["strategy"]) == (b["source"], b["strategy"])
