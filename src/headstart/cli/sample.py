"""headstart sample: real data to try things on."""

from __future__ import annotations

import argparse
from typing import Any

from headstart.cli.output import Output
from headstart.cli.parsing import new_command
from headstart.cli.tables import table

_DESCRIPTION = """\
List real data sets that come with installed packages; or, given a NAME, print the path of that one, laid out as a
folder of class folders or a table, and nothing else.
"""
_EXAMPLES = """\
  headstart sample
  headstart fit "$(headstart sample solar-cells)"
"""


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    parser = new_command(
        commands, "sample", run, summary="real data to try things on", description=_DESCRIPTION, examples=_EXAMPLES
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="the data set whose path to print")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the list, or one path."""
    from headstart.data.samples import sample_path, samples

    if args.name is not None:
        path = sample_path(args.name)
        if out.json:
            out.document({"name": args.name, "path": path})
        else:
            out.lines([str(path)])
        return 0
    found = samples()
    if out.json:
        out.document(found)
        return 0
    rows = [
        [
            sample.name,
            sample.modality,
            sample.task,
            "-" if sample.n is None else f"{sample.n:,}",
            "yes" if sample.installed else f"no: {sample.install}",
            f"{sample.about}; {sample.licence}",
        ]
        for sample in found
    ]
    out.lines(table(["name", "modality", "task", "items", "installed", "what; licence"], rows, right=(3,)))
    return 0
