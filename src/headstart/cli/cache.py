"""headstart cache: see and clear what is kept on disk."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from typing import Any

from headstart.cli.output import Output
from headstart.cli.parsing import new_command
from headstart.cli.tables import size, table

_DESCRIPTION = """\
Show what is kept on disk so that nothing is computed twice: features of items, activations and results of trainings,
exported sources; or clear it. What is cleared is computed again when it is needed, and a fit that runs goes on.

HEADSTART_CACHE_BYTES bounds features, activations and trainings together; what was not used for longest goes first.
Sources lie outside that bound, and go only when they are named: an export again takes seconds to minutes, and for a
model of a hub PyTorch and perhaps the network. Those that a running process uses stay.
"""
_EXAMPLES = """\
  headstart cache
  headstart cache --clear                              features, activations and trainings
  headstart cache --clear trainings                    one kind: features, activations, trainings or sources
  headstart cache --clear minilm_l6-53aa51172d142c89   one name of the list
"""


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    parser = new_command(
        commands,
        "cache",
        run,
        summary="see or clear what is kept on disk",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "--clear",
        metavar="WHAT",
        nargs="*",
        help="delete kinds or names of the list; without any, all but the sources",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Print what is kept, or what clearing it freed."""
    return _list(out) if args.clear is None else _clear(args.clear, out)


def _list(out: Output) -> int:
    from headstart.features.cache import budget
    from headstart.paths import features_dir, home
    from headstart.workflow.kept import BOUNDED, KINDS, kept

    lines, bound = kept(), budget()
    taken = {kind: sum(line.bytes for line in lines if line.kind == kind) for kind in KINDS}
    if out.json:
        spaces = [
            {
                "space": line.name,
                "source": line.of,
                "items": line.items,
                "bytes": line.bytes,
                "last_used": line.last_used,
            }
            for line in lines
            if line.kind == "features"
        ]
        document = {"folder": features_dir(), "bytes": taken["features"], "spaces": spaces}
        out.document({**document, "kept": lines, "bytes_by_kind": taken, "bound": bound})
        return 0
    rows = [
        [line.kind, line.name, line.of, f"{line.items:,}", size(line.bytes), _when(line.last_used)] for line in lines
    ]
    if rows:
        out.lines(table(["kind", "name", "of", "items", "size", "last used"], rows, right=(3, 4)))
    together = size(sum(taken[kind] for kind in BOUNDED))
    out.lines([f"{_each({kind: taken[kind] for kind in BOUNDED})}: {together} of at most {size(bound)}"])
    out.lines([f"{_each({'sources': taken['sources']})}, outside that bound", f"all in {home()}"])
    return 0


def _clear(names: list[str], out: Output) -> int:
    from headstart.workflow.kept import clear

    cleared = clear(names)
    if out.json:
        out.document({"freed": cleared.freed, "freed_by_kind": cleared.kinds, "in_use": cleared.in_use})
        return 0
    out.lines([f"freed {size(cleared.freed)}: {_each(cleared.kinds)}"])
    if cleared.kinds.get("sources"):
        out.lines(["a source is exported again when it is used next"])
    out.lines(f"{name} stays: a running process uses it" for name in cleared.in_use)
    return 0


def _each(kinds: dict[str, int]) -> str:
    return ", ".join(f"{kind} {size(taken)}" for kind, taken in kinds.items())


def _when(timestamp: float) -> str:
    if not timestamp:
        return "-"
    return datetime.fromtimestamp(timestamp, tz=timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M")
