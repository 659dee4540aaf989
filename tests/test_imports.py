"""The rules of import: one way from layer to layer, nothing heavy before it is needed, no global state touched."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "headstart"

FOUNDATION = ("errors", "tasks", "paths", "optional", "registry", "progress", "digits", "archive")
# What each layer may import besides itself and the foundation. The order is that of ARCHITECTURE.md.
ALLOWED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(FOUNDATION, ()),
    "data": (),
    "sources": (),
    "fronts": ("sources",),
    "engines": ("data", "sources", "fronts"),
    "features": ("data", "sources", "fronts", "engines"),
    "heads": (),
    "evidence": ("heads",),
    "adapt": ("data", "sources", "fronts", "engines", "features", "heads", "evidence"),
    "plan": ("data", "sources", "fronts", "engines", "features", "heads", "evidence", "adapt"),
    "model": ("data", "sources", "fronts", "engines", "features", "heads", "evidence", "adapt", "plan"),
    "speech": ("data", "sources", "fronts", "engines", "features", "heads", "evidence", "adapt", "plan", "model"),
    "charts": (),
}
_BELOW_FACES = tuple(layer for layer in ALLOWED if layer not in FOUNDATION)
ALLOWED |= {
    "workflow": _BELOW_FACES,
    "interface": (*_BELOW_FACES, "workflow"),
    "estimators": (*_BELOW_FACES, "workflow", "interface"),
    "cli": (*_BELOW_FACES, "workflow"),
}
HEAVY = (
    "torch", "timm", "transformers", "sklearn", "scipy", "pandas", "openvino", "onnxruntime", "onnx", "rich", "ray",
    "matplotlib", "ctranslate2", "soundfile", "soxr", "jiwer", "whisper_normalizer", "tokenizers",
)  # fmt: skip


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def layer_of(module: str) -> str:
    """headstart.data.read -> data."""
    return module.split(".")[1]


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every module of headstart that a file imports, at any depth of nesting."""
    own = ["headstart", *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.startswith("headstart."))
        elif isinstance(node, ast.ImportFrom):
            module = (
                ".".join(own[: -node.level] + ([node.module] if node.module else [])) if node.level else node.module
            )
            if module == "headstart":
                yield from ((node.lineno, f"headstart.{a.name}") for a in node.names if a.name != "__version__")
            elif module is not None and module.startswith("headstart."):
                yield node.lineno, module


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    layer = layer_of(".".join(["headstart", *path.relative_to(PACKAGE).with_suffix("").parts]))
    assert layer in ALLOWED, f"{layer} is no layer yet: give it its place in ALLOWED"
    allowed = {layer, *FOUNDATION, *ALLOWED[layer]}
    wrong = [f"line {line}: {name}" for line, name in imported(path) if layer_of(name) not in allowed]
    assert not wrong


def test_the_walk_sees_imports_inside_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    path = tmp_path / "data" / "x.py"
    path.parent.mkdir()
    path.write_text(
        "def f():\n    from headstart.cli import main\n    from ..plan import race\n    import headstart.model\n"
    )
    assert [name for _, name in imported(path)] == ["headstart.cli", "headstart.plan", "headstart.model"]


_PROBE = """
import json, logging, os, sys, warnings
def state():
    return [list(map(repr, warnings.filters)), logging.root.level, len(logging.root.handlers), dict(os.environ)]
before = state()
import {module}
print(json.dumps([sorted(m for m in {heavy!r} if m in sys.modules), before == state()]))
"""


@pytest.mark.parametrize("module", ["headstart", "headstart.cli.main"])
def test_import_is_light_and_changes_nothing(module: str) -> None:
    probe = _PROBE.format(module=module, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    heavy, unchanged = json.loads(done.stdout)
    assert heavy == []
    assert unchanged
    assert done.stderr == ""


def test_public_names_are_there_when_used() -> None:
    """Each name of `headstart.__all__` is found, and the errors cost no heavy import."""
    import headstart
    from headstart.errors import HeadstartError

    assert headstart.HeadstartError is HeadstartError
    assert all(getattr(headstart, name).__name__ == name for name in headstart.__all__)
    probe = _PROBE.format(module="headstart; headstart.HeadstartError", heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], True]


def entry_points() -> list[tuple[str, str]]:
    """Group and target of each entry point that pyproject.toml declares."""
    section, found = "", []
    for line in (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and (section == "project.scripts" or section.startswith("project.entry-points.")):
            found.append((section, line.split("=", 1)[1].strip().strip('"')))
    return found


def test_entry_points_are_found() -> None:
    assert ("project.scripts", "headstart.cli.main:run") in entry_points()
    assert len(entry_points()) > 5


@pytest.mark.parametrize(("group", "target"), entry_points())
def test_entry_points_resolve(group: str, target: str) -> None:
    module, name = target.split(":")
    made = getattr(import_module(module), name)
    if "entry-points" in group:
        made()  # plug-ins take no arguments, and importing one must not need its optional package
