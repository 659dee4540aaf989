"""headstart predict: use a model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.cli.lines import visible
from headstart.cli.output import Output
from headstart.cli.parsing import new_command
from headstart.cli.tables import decimals, percent

_DESCRIPTION = """\
Predict items with a model that fit saved. Needs no torch, no hub, and no cache.

An INPUT is a file, a folder or a table of paths (images, sounds); a text, a .txt file or a table (texts); a table
(numbers).
"-" reads one input a line from stdin.
"""
_EXAMPLES = """\
  headstart predict birds.headstart new.jpg more/*.jpg
  headstart predict coughs.headstart night.wav clips/
  headstart predict dictation.headstart memo.mp3 --json
  headstart predict reviews.headstart "arrived late, but it works"
  cut -f 2 inbox.tsv | headstart predict reviews.headstart - --json
"""


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    parser = new_command(
        commands, "predict", run, summary="predict items with a model", description=_DESCRIPTION, examples=_EXAMPLES
    )
    parser.add_argument("model", metavar="MODEL", help="a .headstart file")
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="what to predict; - for lines of stdin")
    parser.add_argument("--input", metavar="COLUMN", help="the column of a table that holds the items")


def run(args: argparse.Namespace, out: Output) -> int:
    """Predict, printing each item as it comes; 2 if not one could be predicted."""
    from headstart.workflow.saved import load

    model = load(args.model)
    inputs = with_stdin(args.inputs)
    width = min(max((len(shown(given)) for given in inputs), default=0), 40)
    good = bad = 0
    for item in model.predict_iter(inputs, input=args.input, progress=out.progress_beside_results()):
        failed = "error" in item
        good, bad = good + (not failed), bad + failed
        if out.json:
            out.document(item)
        elif failed:
            out.warn(f"{shown(item['input'])}: {item['error']}")
        else:
            out.lines([f"{shown(item['input']):<{width}}  {describe(item)}", *parts(item)])
    if bad or not good:
        out.warn(f"{bad} of {good + bad} items could not be predicted" if bad else "there was nothing to predict")
    return 0 if good else 2


def with_stdin(inputs: Sequence[str]) -> list[str]:
    """The inputs, "-" replaced by the lines of stdin. Bytes that are not UTF-8 are kept, as in file names."""
    found: list[str] = []
    for given in inputs:
        if given != "-":
            found.append(given)
            continue
        text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
        found += [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    return found


def shown(given: str) -> str:
    """An input for people: control characters as escapes, a blank one in quotes."""
    return visible(given) if given.strip() else f"'{visible(given)}'"


def describe(item: Mapping[str, Any]) -> str:
    """A prediction for people: "wren  98.2 %"; of speech, "Thank you.  96.0 %", or its length where `parts` follow."""
    if "text" in item:
        text = f"{item['seconds']:.0f} s" if parts(item) else item["text"] or "(nothing said)"
        return f"{visible(text)}  {percent(item['confidence'])}"
    label, probability = item["label"], item.get("probability")
    if isinstance(label, (list, tuple)):
        label = ", ".join(map(str, label)) or "(no label)"
    elif isinstance(label, float):
        label = decimals(label)
    told = [str(label), *([] if probability is None else [percent(probability)])]
    return "  ".join([*told, *(["unknown"] if item.get("unknown") else [])])


def parts(item: Mapping[str, Any]) -> list[str]:
    """The segments of a transcript that has several, a line each: from, to (seconds), text."""
    segments = item.get("segments", ())
    if len(segments) < 2:
        return []
    return [f"  {part['start']:8.2f} {part['end']:8.2f}  {visible(part['text'])}" for part in segments]
