"""Arguments: what all commands share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from headstart.cli.output import Output

    Run = Callable[[argparse.Namespace, Output], int]

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(h|m|s|)")
# What a command leaves behind when it is stopped; commands that keep more say so.
NOTHING_KEPT = "nothing was changed"

OFF_NAMES = "NAME=REGEX: read off the files' names"
LABEL_HELP = f"the table's column to predict; several joined by commas; {OFF_NAMES}"
GROUP_HELP = f"what must not be split, as a patient; none: guess no groups; {OFF_NAMES}"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments and leave with exit code 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def new_command(
    commands: Any, name: str, run: Run, *, summary: str, description: str, examples: str, kept: str = NOTHING_KEPT
) -> argparse.ArgumentParser:
    """Add a subcommand that takes --json and is run by `run`.

    Args:
        commands: what `add_subparsers` returned.
        summary: the line in `headstart --help`.
        description, examples: paragraphs of the command's own help, printed as they are.
        kept: what is said to be left when the user interrupts.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, kept=kept)
    parser.add_argument("--json", action="store_true", help="print JSON on stdout and nothing else there")
    return parser


def default_out(data: str, ending: str) -> Path:
    """Where to write: birds/ and birds.csv both give birds and the ending, in the current folder."""
    path = Path(data).resolve()
    return Path(f"{path.name if path.is_dir() else path.stem}{ending}")


def duration(text: str) -> float:
    """Seconds from "90", "90s", "5m", "1.5h" or "1h30m"."""
    found = list(_DURATION.finditer(text.strip().lower()))
    if not found or "".join(m.group() for m in found) != text.strip().lower():
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: write 90s, 5m or 1h30m")
    seconds = sum(float(m[1]) * _SECONDS[m[2]] for m in found)
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time at all: write 90s, 5m or 1h30m")
    return seconds
