"""The entry point: parse, run one command, turn what goes wrong into one line and an exit code.

Exit codes: 0 done; 1 failed; 2 bad usage, bad input or no room to write; 130 interrupted; 143 terminated.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import NoReturn

from headstart import __version__
from headstart.cli import cache, curve, engines, evaluate, fit, predict, sample, sources
from headstart.cli.ending import INTERRUPTED, TERMINATED, TerminatedError, leave, orderly_end
from headstart.cli.output import Output
from headstart.cli.parsing import Parser
from headstart.errors import HeadstartError, OptionError, StorageError, one_line

_FULL, _FORBIDDEN = (ENOSPC, EDQUOT), (EACCES, EPERM, EROFS)
_COMMANDS = (fit, predict, evaluate, curve, sources, engines, cache, sample)
_DESCRIPTION = """\
Transfer learning that proves it paid: a small labelled data set in, a model with honest evidence out.
"""
_EXAMPLES = """\
examples:
  headstart fit "$(headstart sample solar-cells)"   try it on real data that comes along
  headstart fit birds/                              learn from a folder of class folders
  headstart predict birds.headstart new.jpg         use what was learned

exit codes: 0 done, 1 failed, 2 bad usage, bad input or no room to write, 130 interrupted, 143 terminated
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `headstart` and all its commands."""
    parser = Parser(
        prog="headstart",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"headstart {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


def run() -> NoReturn:
    """The console command `headstart`: what `main` does, then the end of the process."""
    leave(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (the process's own without one) and return the exit code."""
    _replace_closed_streams()
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as stop:  # --help, --version, bad usage
        return stop.code if isinstance(stop.code, int) else 0
    out = Output(as_json=args.json)
    try:
        with _own_streams(), orderly_end():
            _check_goal(getattr(args, "out", None))
            code: int = args.run(args, out)
        sys.stdout.flush()
    except BaseException as error:
        return _fail(error, args.kept, out)
    return code


def _check_goal(path: Path | None) -> None:
    """Refuse to replace a device, a pipe or a socket by what a command writes, before it does any work.

    Raises:
        OptionError: there is one at `path`.
    """
    from headstart.archive.container import is_odd

    if path is not None and is_odd(path):
        raise OptionError(f"--out {str(path)!r} is a device, a pipe or a socket: expected the name of a file to write")


def _fail(error: BaseException, kept: str, out: Output) -> int:
    """Say in one line what went wrong; the exit code."""
    if isinstance(error, BrokenPipeError):
        _forget_broken_streams()
        return 1
    if os.environ.get("HEADSTART_DEBUG"):
        import traceback

        traceback.print_exception(type(error), error, error.__traceback__)
    code, message = _explain(error, kept)
    with suppress(BrokenPipeError):
        out.warn(message)
    return code


def _explain(error: BaseException, kept: str) -> tuple[int, str]:
    if isinstance(error, ImportError):  # compiled modules raise one where a signal stops their initialisation
        error = error.__cause__ if isinstance(error.__cause__, (KeyboardInterrupt, TerminatedError)) else error
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, f"interrupted: {kept}"
    if isinstance(error, TerminatedError):
        return TERMINATED, "terminated: temporary files were removed"
    if isinstance(error, HeadstartError):
        return error.exit_code, f"error: {error}"
    if isinstance(error, MemoryError):
        return 1, "error: not enough memory: close other programs, or give fewer or smaller items"
    if isinstance(error, OSError):
        mendable = error.errno in (*_FULL, *_FORBIDDEN)
        return StorageError.exit_code if mendable else 1, f"error: {_explain_os(error)}"
    if isinstance(error, ModuleNotFoundError) and error.name is not None and not error.name.startswith("headstart"):
        package = error.name.partition(".")[0]
        return 2, f"error: the package {package}, which this needs, is not installed: pip install headstart"
    name = f"{type(error).__name__}: {one_line(error)}".rstrip(": ")
    return 1, f"internal error: {name} (set HEADSTART_DEBUG=1 for the traceback, please report)"


def _explain_os(error: OSError) -> str:
    where = f": {error.filename}" if error.filename is not None else ""
    if error.errno in _FULL:
        return f"no space left on the disk{where}: free some, or set HEADSTART_HOME to a folder on another disk"
    return f"{error.strerror or one_line(error)}{where}"


@contextmanager
def _own_streams() -> Iterator[None]:
    """Keep what libraries print and warn of out of the results: prints go to stderr, warnings only to who debugs."""
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        if not os.environ.get("HEADSTART_DEBUG"):
            warnings.simplefilter("ignore")
            # scikit-learn resets the filters of the whole process in its threads, so that some come through.
            warnings.showwarning = lambda *_, **__: None
        yield


def _replace_closed_streams() -> None:
    """A process may be started without stdout or stderr; Python then has None there."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the process ends


def _forget_broken_streams() -> None:
    """Point streams whose reader has gone to nowhere, so that Python's last flush is quiet too."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


if __name__ == "__main__":
    run()
