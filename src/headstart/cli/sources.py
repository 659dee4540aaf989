"""headstart sources: the catalogue."""

from __future__ import annotations

import argparse
from typing import Any

from headstart.cli.output import Output
from headstart.cli.parsing import new_command
from headstart.cli.tables import table

_DESCRIPTION = """\
List the pretrained sources that headstart knows by name, with their origin and licence.

Besides these, --source of fit takes timm/NAME, ORG/NAME of a text encoder on the hub, a folder with either, or an
ONNX file with a description of its preprocessing (docs/sources.md).
"""
_EXAMPLES = """\
  headstart sources
  headstart sources --json
"""


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    new_command(
        commands, "sources", run, summary="list the pretrained sources", description=_DESCRIPTION, examples=_EXAMPLES
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the catalogue; what is not installed comes with its install line."""
    from headstart.sources.catalogue import entries

    found = entries()
    if out.json:
        out.document(found)
        return 0
    rows = [
        [
            entry.name,
            entry.modality,
            f"{entry.parameters / 1e6:.1f} M",
            entry.licence,
            "yes" if entry.installed else f"no: {entry.install}",
            entry.origin,
        ]
        for entry in found
    ]
    out.lines(table(["name", "modality", "weights", "licence", "installed", "origin"], rows, right=(2,)))
    return 0
