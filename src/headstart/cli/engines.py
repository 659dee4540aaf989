"""headstart engines: what runs a frozen graph here, and how fast."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

from headstart.cli.output import Output
from headstart.cli.parsing import new_command
from headstart.cli.tables import points, table
from headstart.errors import one_line

if TYPE_CHECKING:
    from headstart.engines.measure import Measured
    from headstart.engines.memory import Choice

_DESCRIPTION = """\
List the engines that can run a frozen graph, and whether they run on this machine. With --bench, time every engine
and precision on a source, check that its features stay true to fp32, and mark the one that fit uses from now on.
"""
_EXAMPLES = """\
  headstart engines
  headstart engines --bench
  headstart engines --bench --source efficientnet_lite2 --source minilm_l6
"""


def add_parser(commands: Any) -> None:
    """Declare the command's arguments."""
    parser = new_command(
        commands, "engines", run, summary="list and time the engines", description=_DESCRIPTION, examples=_EXAMPLES
    )
    parser.add_argument("--bench", action="store_true", help="measure on this machine, now")
    parser.add_argument(
        "--source", metavar="S", action="append", default=[], help="what to measure with (default: fit's own choices)"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the engines, or the measurements."""
    listed = _available()
    bench = _measure(args.source, out) if args.bench or args.source else []
    if out.json:
        out.document({"engines": listed, "bench": bench})
        return 0
    if not bench:
        out.lines(
            table(
                ["engine", "device", "runs here"],
                [[line["name"], line["device"], line["reason"] or "yes"] for line in listed],
            )
        )
    for one in bench:
        out.lines([one["source"], *describe(one["measured"], one["chosen"]), ""])
    return 0


def _available() -> list[dict[str, Any]]:
    from headstart import registry

    found = []
    for name, engine in registry.everything("headstart.engines").items():
        reason = engine.unavailable()
        precisions = [] if reason else list(engine.precisions())
        found.append(
            {"name": name, "device": engine.device, "available": not reason, "reason": reason, "precisions": precisions}
        )
    return found


def _measure(references: Sequence[str], out: Output) -> list[dict[str, Any]]:
    """Every engine and precision on each source, and the choice that fit now finds remembered (None if none is true).

    Without a source, on those that fit would take.
    """
    from headstart.engines.choose import adopt, measure
    from headstart.errors import EngineError
    from headstart.sources.base import Modality
    from headstart.sources.catalogue import default_sources, open_source

    progress = out.progress()
    names = references or [name for modality in get_args(Modality) for name in default_sources(modality)]
    bench = []
    for source in [open_source(name, progress=progress) for name in names]:
        rows = measure(source, every=True, progress=progress)
        try:
            chosen = adopt(source, rows, progress=progress)
        except EngineError:  # the table says why
            chosen = None
        bench.append({"source": source.name, "measured": rows, "chosen": chosen})
    return bench


def describe(rows: Sequence[Measured], chosen: Choice | None) -> Iterator[str]:
    """Measurements as a table, fit's choice marked. An engine that did not run has no worker, and its reason."""
    marked = None if chosen is None else (chosen.engine, chosen.precision)
    cells = [
        [
            row.engine,
            row.precision,
            f"{row.workers} x {row.threads}" if row.workers else "-",
            f"{row.items_per_second:,.0f}" if row.workers else "-",
            _cosine(row.cosine_mean),
            _cosine(row.cosine_min),
            points(row.probe_accuracy),
            ("◀  " if (row.engine, row.precision) == marked else "") + one_line(row.reason),
        ]
        for row in rows
    ]
    header = ["engine", "precision", "workers x threads", "items/s", "cosine", "lowest", "probe", ""]
    yield from table(header, cells, right=(2, 3, 4, 5, 6))


def _cosine(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-"
