"""The files of each sample, from what its package ships.

Each function gives relative path -> bytes to write, or a file to link to.
"""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headstart.data.lay_out import Content

API_MODULES = (
    "fft", "integrate", "interpolate", "linalg", "ndimage", "optimize", "signal", "sparse", "spatial", "special",
    "stats",
)  # fmt: skip


def solar_cells() -> Content:
    """Class folders of the cells that the rater was sure of: probability of a defect 0 or 1, not 0.33 or 0.67."""
    data = _package("elpv_dataset") / "data"
    sure = {0.0: "sound", 1.0: "defective"}
    out = {}
    for line in (data / "labels.csv").read_text(encoding="utf-8").splitlines():
        path, probability, _ = line.split()
        name = sure.get(float(probability))
        if name:
            out[f"{name}/{Path(path).name}"] = data / path
    return out


def breast_cancer() -> Content:
    """A table of 30 measurements and the column `diagnosis`."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    diagnosis = [str(bunch.target_names[code]) for code in bunch.target]
    return {"breast-cancer.csv": _table(bunch.feature_names, bunch.data, "diagnosis", diagnosis)}


def diabetes() -> Content:
    """A table of ten measurements in their own units and the column `progression`."""
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    return {"diabetes-progression.csv": _table(bunch.feature_names, bunch.data, "progression", bunch.target)}


def digits() -> Content:
    """Class folders of grey PNG images; the 17 levels of the original are stretched to 0 ... 255."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    bunch = load_digits()
    out = {}
    for i, (image, code) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        png = io.BytesIO()
        Image.fromarray(np.round(image * (255 / 16)).astype(np.uint8)).save(png, "PNG")
        out[f"{code}/digit{i:04d}.png"] = png.getvalue()
    return out


def api_docs() -> Content:
    """A table of what SciPy's authors say their functions do, and the column `module` where each lies.

    The sentences are the first paragraphs of docstrings, read from the installed source without importing it. One that
    stands in two modules is left out, since no one could say which it is from.
    """
    scipy = _package("scipy")
    module_of: dict[str, set[str]] = {}
    for module in API_MODULES:
        for file in sorted((scipy / module).rglob("*.py")):
            if "tests" not in file.parts:
                for sentence in _summaries(file.read_text(encoding="utf-8")):
                    module_of.setdefault(sentence, set()).add(module)
    rows = sorted((next(iter(modules)), text) for text, modules in module_of.items() if len(modules) == 1)
    return {"api-docs.csv": _csv(("text", "module"), ((text, module) for module, text in rows))}


def _summaries(source: str) -> Iterator[str]:
    """The first paragraph of the docstring of each public function and class, if it has three words or more."""
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            words = (ast.get_docstring(node) or "").split("\n\n")[0].split()
            if len(words) >= 3:
                yield " ".join(words)


def _package(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations  # callers have checked that the package is installed
    return Path(spec.submodule_search_locations[0])


def _table(names: Sequence[str], values: Any, label: str, labels: Sequence[object]) -> bytes:
    rows = ([repr(float(value)) for value in row] + [str(y)] for row, y in zip(values, labels, strict=True))
    return _csv([*(str(name) for name in names), label], rows)


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
