"""Whatever moves weights is imported from the core or from an extra that the code names, which does install it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads TOML")

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OTHER_NAMES = {"sklearn": "scikit-learn", "PIL": "pillow"}  # what is imported under another name than it is installed
# Loaded only once the [torch] extra was required: recipe.cannot and recipe.learn say its line before.
BEHIND_TORCH = {"torch", "accelerate"}
FILES = sorted((ROOT / "src" / "headstart" / "adapt").glob("*.py"))


def packages(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=!~ ;]", one)[0].lower() for one in requirements}


def imported(tree: ast.Module) -> Iterator[str]:
    """Packages of import statements, at any depth, other than headstart and Python's own."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        yield from (
            n for n in (name.partition(".")[0] for name in names) if n not in {*sys.stdlib_module_names, "headstart"}
        )


def required(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Package and extra of each `require("package", "extra", ...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
            package, extra = node.args[:2]
            if isinstance(package, ast.Constant) and isinstance(extra, ast.Constant):
                yield str(package.value).partition(".")[0], str(extra.value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_import_is_installed_by_the_core_or_the_extra_that_is_named(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    core = packages(PROJECT["dependencies"])
    extras = {name: packages(some) for name, some in PROJECT["optional-dependencies"].items()}
    unnamed = {OTHER_NAMES.get(name, name) for name in imported(tree)} - core
    assert unnamed <= BEHIND_TORCH <= extras["torch"]
    for package, extra in required(tree):
        assert package in extras[extra]


def test_the_extras_are_read_and_the_calls_found() -> None:
    found = {pair for path in FILES for pair in required(ast.parse(path.read_text(encoding="utf-8")))}
    assert {("torchvision", "torch"), ("peft", "torch"), ("soundfile", "audio")} <= found
