"""headstart cache: see and clear the features on disk."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from typing import Any

from headstart.cli.output import Output
from headstart.cli.parsing import new_command
from headstart.cli.tables import size, table

_DESCRIPTION = """\
Show the features that are kept on disk so that no item is embedded twice; or clear them. What is cleared is computed
again when it is needed. The folder is HEADSTART_HOME/features.
"""
_EXAMPLES = """\
  headstart cache
  headstart cache --clear                              clear all of it
  headstart cache --clear minilm_l6-53aa51172d142c89   clear one space
"""


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    parser = new_command(
        commands, "cache", run, summary="see or clear the cached features", description=_DESCRIPTION, examples=_EXAMPLES
    )
    parser.add_argument(
        "--clear", metavar="SPACE", nargs="?", const="", help="delete the features of SPACE, or all without a name"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Print what the cache holds, or what clearing it freed."""
    from headstart.features.cache import clear, usage
    from headstart.paths import features_dir

    if args.clear is not None:
        freed = clear(args.clear or None)
        if out.json:
            out.document({"freed": freed})
        else:
            out.lines([f"freed {size(freed)}"])
        return 0
    spaces = usage()
    total = sum(space.bytes for space in spaces)
    if out.json:
        out.document({"folder": features_dir(), "bytes": total, "spaces": spaces})
        return 0
    rows = [
        [space.space, space.source, f"{space.items:,}", size(space.bytes), _when(space.last_used)] for space in spaces
    ]
    if rows:
        out.lines(table(["space", "source", "items", "size", "last used"], rows, right=(2, 3)))
    out.lines([f"{size(total)} in {features_dir()}"])
    return 0


def _when(timestamp: float) -> str:
    if not timestamp:
        return "-"
    return datetime.fromtimestamp(timestamp, tz=timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M")
