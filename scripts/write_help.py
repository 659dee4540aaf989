"""Write docs/commands.md from the commands' own help: python scripts/write_help.py (a test checks that it was done)."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from headstart.cli.main import build_parser

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"
_WIDTH = "100"
_INTRODUCTION = """\
# The commands

Written by `python scripts/write_help.py` from the commands' own help.

Every command takes `--json`: one JSON document on stdout (`predict`: one line an item), progress and warnings on
stderr. Exit codes: 0 done, 1 failed, 2 bad usage or bad input, 130 interrupted.
"""


def page() -> str:
    """The page as it should be. The terminal's width and colours do not matter."""
    before = {name: os.environ.get(name) for name in ("COLUMNS", "NO_COLOR")}
    os.environ |= {"COLUMNS": _WIDTH, "NO_COLOR": "1"}
    try:
        parser = build_parser()
        commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        sections = [("headstart", parser), *((f"headstart {name}", p) for name, p in commands.choices.items())]
        texts = [f"## {title}\n\n```text\n{part.format_help().rstrip()}\n```\n" for title, part in sections]
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return "\n".join([_INTRODUCTION, *texts])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
