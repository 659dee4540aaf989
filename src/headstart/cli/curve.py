"""headstart curve: accuracy against labels, with and without transfer."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headstart.cli.fit import MODALITIES, TASKS
from headstart.cli.output import Output
from headstart.cli.parsing import GROUP_HELP, LABEL_HELP, default_out, new_command
from headstart.cli.tables import metric, table

_DESCRIPTION = """\
Score ever more labels with and without transfer, and say how many labels transfer saves.

A share of the items is held out; all curves are scored on it. From the rest, labels are drawn at random: 1, 2, 5, ...
of each class, several times, each draw a part of the next larger one; at last all of them. Every strategy learns from
the same draws. "no transfer" is a linear model or boosted trees on what needs no source, "probe" ridge regression on
the frozen source; each choice is made by the labels of the draw alone. --strategy adds curves: frozen-logistic, or one
that moves weights (last-stages, lp-ft, scratch, ...), which takes a few trainings a draw.

Labels saved: how many times the labels one needs for the highest accuracy that both reach, with a 95 % interval over
draws and items; "> 12 x" where the fewest labels that were tried were already enough.
"""
_EXAMPLES = """\
  headstart curve birds/
  headstart curve scans/ --group patient --draws 10 --out scans.svg
  headstart curve birds/ --strategy last-stages --strategy scratch --shots 5,20,50 --draws 3
"""
_KEPT = "what was embedded is in the cache, so the same command goes on from there; no figure was written"


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    parser = new_command(
        commands,
        "curve",
        run,
        summary="accuracy against labels, with and without transfer",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
        kept=_KEPT,
    )
    parser.add_argument("data", metavar="DATA", help="labelled data, as for fit")
    parser.add_argument(
        "--out", metavar="FILE.svg", type=Path, help="where to write the figure (default: DATA's name.curve.svg, here)"
    )
    repeated: dict[str, Any] = {"action": "append", "default": []}
    parser.add_argument("--source", metavar="S", **repeated, help="a pretrained source; may be repeated")
    parser.add_argument("--strategy", metavar="S", **repeated, help="one more curve; may be repeated")
    parser.add_argument(
        "--shots", metavar="N,N", type=shots, default=(1, 2, 5, 10, 20, 50), help="labels a class (1,2,5,10,20,50)"
    )
    parser.add_argument("--draws", metavar="N", type=int, default=5, help="samples of each size (default: 5)")
    parser.add_argument("--test", metavar="SHARE", type=float, default=0.3, help="of the items held out (default: 0.3)")
    parser.add_argument("--modality", choices=MODALITIES, help="what the items are")
    parser.add_argument("--task", choices=TASKS, help="what is to be learned")
    parser.add_argument("--input", metavar="COLUMN", help="the table's column of texts or paths")
    parser.add_argument("--label", metavar="COLUMN", help=LABEL_HELP)
    parser.add_argument("--group", metavar="COLUMN", help=GROUP_HELP)
    parser.add_argument("--time", metavar="COLUMN", help="when it was: the latest items are held out")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the split and the draws (default: 0)")
    parser.add_argument("--no-cache", action="store_true", help="do not keep features or trainings on disk")


def run(args: argparse.Namespace, out: Output) -> int:
    """Draw the curves, then print them."""
    from headstart.workflow import CurveOptions, curve

    options = CurveOptions(
        out=args.out or default_out(args.data, ".curve.svg"),
        sources=tuple(args.source),
        strategies=tuple(args.strategy),
        shots=args.shots,
        draws=args.draws,
        test=args.test,
        modality=args.modality,
        task=args.task,
        input=args.input,
        label=args.label,
        group=args.group,
        time=args.time,
        seed=args.seed,
        cache=not args.no_cache,
    )
    progress = out.progress()
    report = curve(Path(args.data), options, progress)
    if out.json:
        out.document(report)
        return 0
    out.lines(note for note in report["notes"] if note not in progress.said)
    out.lines(describe(report))
    out.lines([f"figure {report['figure']}"])
    return 0


def shots(text: str) -> tuple[int, ...]:
    """Labels a class from "1,2,5"; "all" may stand among them, as it comes last anyway."""
    parts = [part.strip() for part in text.split(",")]
    if not all((part.isdecimal() and int(part) > 0) or part == "all" for part in parts) or parts == ["all"]:
        raise argparse.ArgumentTypeError(f"{text!r} are no labels a class: write 1,2,5,10")
    return tuple(int(part) for part in parts if part != "all")


def describe(report: Mapping[str, Any]) -> Iterator[str]:
    """The curves as lines for people: a row a number of labels, a column a curve."""
    curves = report["curves"]
    yield f"{report['n_learn']:,} items to learn from, {report['n_test']:,} to test on; mean of {report['draws']} draws"
    rows = []
    for k, point in enumerate(curves[0]["points"]):
        size = f"all ({point['per_class']:,.0f})" if point["size"] is None else f"{point['size']:,}"
        rows.append([size, *(metric(report["metric"], curve["points"][k]["score"]) for curve in curves)])
    yield from table(["labels a class", *(curve["name"] for curve in curves)], rows, right=(0,))
    yield from (saved["text"] for saved in report["saved"])
