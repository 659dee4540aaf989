"""headstart evaluate: score a model on data it has not seen."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from headstart.cli.output import Output
from headstart.cli.parsing import OFF_NAMES, new_command
from headstart.cli.tables import metric, table
from headstart.cli.transcription import by_group

# Confusion matrices of more classes do not fit a terminal; --json has them.
_CLASSES_SHOWN = 12
_SKIPPED_SHOWN = 5
_DESCRIPTION = """\
Score a model on labelled data that took no part in its fit: every metric with its 95 % interval.
"""
_EXAMPLES = """\
  headstart evaluate birds.headstart birds-2025/
  headstart evaluate digits.headstart recordings/ --label 'digit=^(\\d+)_'
  headstart evaluate reviews.headstart held-out.csv --label stars --json
"""


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    parser = new_command(
        commands, "evaluate", run, summary="score a model on new labelled data", description=_DESCRIPTION,
        examples=_EXAMPLES,
    )  # fmt: skip
    parser.add_argument("model", metavar="MODEL", help="a .headstart file")
    parser.add_argument("data", metavar="DATA", help="labelled data, as for fit")
    parser.add_argument("--label", metavar="COLUMN", help=f"the table's column of true labels; {OFF_NAMES}")
    parser.add_argument("--input", metavar="COLUMN", help="the table's column of texts or paths")
    parser.add_argument("--group", metavar="COLUMN", help=f"what is not independent: wider intervals; {OFF_NAMES}")


def run(args: argparse.Namespace, out: Output) -> int:
    """Evaluate, then print the scores."""
    from headstart.workflow.saved import load

    model = load(args.model)
    report = model.evaluate(args.data, label=args.label, input=args.input, group=args.group, progress=out.progress())
    if out.json:
        out.document(report)
    else:
        out.lines(describe(report))
    return 0


def describe(report: Mapping[str, Any]) -> Iterator[str]:
    """The scores as lines for people."""
    skipped = report.get("skipped") or []
    yield f"{report['n']:,} items" + (f", {len(skipped)} skipped" if skipped else "")
    yield from (f"  {item['id']}: {item['reason']}" for item in skipped[:_SKIPPED_SHOWN])
    rows = [[name.replace("_", " "), metric(name, interval)] for name, interval in report["metrics"].items()]
    yield from table(["metric", "value  95 % interval"], rows)
    yield from by_group(report.get("by_group"))
    classes, confusion = report.get("classes"), report.get("confusion")
    if classes and confusion and len(classes) <= _CLASSES_SHOWN:
        yield ""
        counts = [[name, *map(str, row)] for name, row in zip(classes, confusion, strict=True)]
        yield from table(["true \\ predicted", *classes], counts, right=range(1, len(classes) + 1))
