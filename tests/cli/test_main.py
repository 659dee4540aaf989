"""The entry point: help, exit codes, and one line whatever goes wrong."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headstart import __version__
from headstart.cli.main import main
from headstart.errors import ArtefactError, DataError, EngineError

COMMANDS = ("fit", "predict", "evaluate", "sources", "engines", "cache", "sample")


def test_help_answers_in_less_than_0_4_seconds() -> None:
    """Of processor time: the wall clock of a shared machine says little."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    times = []
    for _ in range(3):
        before = used()
        done = subprocess.run([sys.executable, "-m", "headstart.cli.main", "--help"], capture_output=True, check=True)
        times.append(used() - before)
        assert all(command in done.stdout.decode() for command in COMMANDS)
    assert min(times) < 0.4


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "--json" in text
    description, examples = text.split("\n\n", 1)[1].split("examples:\n")
    assert len(description) > 100
    assert f"headstart {command}" in examples


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"headstart {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    ["", "fly", "fit", "fit x --task guess", "fit x --seed 1.5", "fit x --budget soon", "fit x --budget 0s",
     "fit x --buget 1s", "predict m", "evaluate m"],
)  # fmt: skip
def test_bad_usage_is_two_and_one_line(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "--help" in err


@pytest.fixture
def failing(stand_in: Callable[..., None]) -> Callable[[BaseException], None]:
    """`headstart sources` now raises this."""

    def with_error(error: BaseException) -> None:
        def entries() -> None:
            raise error

        stand_in("headstart.sources.catalogue", entries=entries)

    return with_error


FAILURES: list[tuple[BaseException, int, str]] = [
    (
        DataError("no images in x: expected\nclass folders"),
        2,
        "headstart: error: no images in x: expected class folders",
    ),
    (ArtefactError("m: damaged"), 2, "headstart: error: m: damaged"),
    (EngineError("no engine"), 1, "headstart: error: no engine"),
    (MemoryError(), 1, "headstart: error: not enough memory: close other programs, or give fewer or smaller items"),
    (
        OSError(errno.ENOSPC, "No space left on device", "/x"),
        2,
        "headstart: error: no space left on the disk: /x: free some, or set HEADSTART_HOME to a folder on another disk",
    ),
    (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "headstart: error: Permission denied: /x"),
    (KeyboardInterrupt(), 130, "headstart: interrupted: nothing was changed"),
    (
        ValueError("odd\nthing"),
        1,
        "headstart: internal error: ValueError: odd thing (set HEADSTART_DEBUG=1 for the traceback, please report)",
    ),
    (
        ModuleNotFoundError("No module named 'onnx'", name="onnx.helper"),
        2,
        "headstart: error: the package onnx, which this needs, is not installed: pip install headstart",
    ),
    (
        SystemExit(3),
        1,
        "headstart: internal error: SystemExit: 3 (set HEADSTART_DEBUG=1 for the traceback, please report)",
    ),
]


def test_an_interrupt_while_a_compiled_module_is_imported(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """pybind11 tells of it as an ImportError that the interrupt caused."""
    error = ImportError("initialization failed")
    error.__cause__ = KeyboardInterrupt()
    failing(error)
    assert main(["sources"]) == 130
    assert capsys.readouterr().err == "headstart: interrupted: nothing was changed\n"


@pytest.mark.parametrize(("error", "code", "line"), FAILURES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_what_goes_wrong_is_one_line_on_stderr(
    failing: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    line: str,
    flags: list[str],
) -> None:
    monkeypatch.delenv("HEADSTART_DEBUG", raising=False)
    failing(error)
    assert main(["sources", *flags]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == line + "\n"


def test_a_traceback_is_shown_to_who_asks(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_DEBUG", "1")
    failing(ValueError("odd"))
    assert main(["sources"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupted_fit_says_what_is_kept(
    stand_in: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def fit(*_: Any) -> None:
        raise KeyboardInterrupt

    stand_in("headstart.workflow", FitOptions=SimpleNamespace, fit=fit)
    assert main(["fit", "x"]) == 130
    assert "in the cache" in capsys.readouterr().err


WAITING = """
import sys, time
from types import ModuleType, SimpleNamespace
from headstart.cli.main import main
from headstart.model.temporary import TemporaryFolder

def fit(*_):
    held = TemporaryFolder()
    (held.path / "view-0.onnx").write_bytes(b"large")
    print(held.path, file=sys.stderr, flush=True)
    time.sleep(60)

workflow = ModuleType("headstart.workflow")
workflow.fit, workflow.FitOptions = fit, SimpleNamespace
sys.modules["headstart.workflow"] = workflow
sys.exit(main(["fit", "x"]))
"""


WARNING = """
import sys, warnings
from types import ModuleType, SimpleNamespace
from headstart.cli.main import main

def fit(*_):
    warnings.resetwarnings()  # as scikit-learn does in one thread while another works
    warnings.warn("of no use to the user")
    raise KeyboardInterrupt

workflow = ModuleType("headstart.workflow")
workflow.fit, workflow.FitOptions = fit, SimpleNamespace
sys.modules["headstart.workflow"] = workflow
sys.exit(main(["fit", "x"]))
"""


def test_a_library_that_resets_the_filters_of_warnings_does_not_let_them_through() -> None:
    done = subprocess.run([sys.executable, "-c", WARNING], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    assert "of no use" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="ends processes at once there")
def test_a_terminated_fit_leaves_no_temporary_folder(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", WAITING],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    folder = Path(running.stderr.readline().strip())
    assert folder.parent == tmp_path
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 143
    assert (out, err) == ("", "headstart: terminated: temporary files were removed\n")
    assert list(tmp_path.iterdir()) == []


def test_signals_are_as_they_were_after_a_command(failing: Callable[[BaseException], None]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    failing(DataError("none"))
    assert main(["sources"]) == 2
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(os.name == "nt", reason="pipes break otherwise there")
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_closed_pipe_is_quiet(flags: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "headstart.cli.main", "sample", *flags],
        stdout=writing,
        stderr=subprocess.PIPE,
        env={**os.environ, "HEADSTART_HOME": str(tmp_path)},
        check=False,
    )
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_closed_streams_do_no_harm(tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m headstart.cli.main sample digit'
    environment = {**os.environ, "HEADSTART_HOME": str(tmp_path)}
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        done = subprocess.run(["sh", "-c", f"{command} {closed}"], capture_output=True, env=environment, check=False)
        assert done.returncode == 2
        assert b"Traceback" not in done.stderr


def test_output_survives_a_narrow_encoding(tmp_path: Path) -> None:
    code = "from headstart.cli.output import Output; Output(as_json=False).lines(['a ◀ é'])"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True)
    assert done.stdout.split() == [b"a", b"\\u25c0", b"\\xe9"]


def test_warnings_of_libraries_are_kept_from_the_user(
    stand_in: Callable[..., None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import warnings

    monkeypatch.delenv("HEADSTART_DEBUG", raising=False)
    stand_in("headstart.sources.catalogue", entries=lambda: warnings.warn("noise", stacklevel=1) or [])
    before = list(warnings.filters)
    assert main(["sources", "--json"]) == 0
    assert capsys.readouterr() == ("[]\n", "")
    assert warnings.filters == before
