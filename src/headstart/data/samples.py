"""Real data to try things on, from packages that are installed anyway or by one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from headstart import paths
from headstart.data import sample_content
from headstart.data.dataset import Modality
from headstart.data.lay_out import Content, is_intact, lay_out
from headstart.errors import MissingLayerError, OptionError
from headstart.optional import has, install_line
from headstart.tasks import Task


@dataclass(frozen=True)
class Sample:
    """One data set of the list.

    Attributes:
        n: how many items; None where it depends on the package's version.
        package: the distribution that ships it.
        installed: whether that is here.
        install: the line that installs it.
    """

    name: str
    modality: Modality
    task: Task
    n: int | None
    classes: int
    about: str
    licence: str
    package: str
    installed: bool
    install: str


@dataclass(frozen=True)
class _Entry:
    """What is known of a sample without its package.

    Attributes:
        layer: the layer of headstart that brings the package; "" where headstart itself does.
        table: the file's name if the sample is a table, else "".
        content: makes the files.
    """

    modality: Modality
    task: Task
    n: int | None
    classes: int
    about: str
    licence: str
    package: str
    module: str
    layer: str
    table: str
    content: Callable[[], Content]


SAMPLES: dict[str, _Entry] = {
    "api-docs": _Entry(
        "text", "multiclass", None, len(sample_content.API_MODULES), "which SciPy module does this sentence describe?",
        "BSD-3-Clause", "scipy", "scipy", "", "api-docs.csv", sample_content.api_docs,
    ),
    "breast-cancer": _Entry(
        "table", "binary", 569, 2, "cell nuclei measured under a microscope (Wisconsin diagnostic)",
        "CC BY 4.0", "scikit-learn", "sklearn", "", "breast-cancer.csv", sample_content.breast_cancer,
    ),
    "diabetes-progression": _Entry(
        "table", "regression", 442, 1, "disease progression one year after ten measurements (Efron et al. 2004)",
        "shipped with scikit-learn under BSD-3-Clause", "scikit-learn", "sklearn", "", "diabetes-progression.csv",
        sample_content.diabetes,
    ),
    "digits": _Entry(
        "image", "multiclass", 1797, 10, "handwritten digits, 8 x 8 pixels (UCI optical recognition, test part)",
        "CC BY 4.0", "scikit-learn", "sklearn", "", "", sample_content.digits,
    ),
    "solar-cells": _Entry(
        "image", "binary", 2223, 2, "electroluminescence photographs of solar cells (Deitsch et al. 2019)",
        "CC BY-NC-SA 4.0", "elpv-dataset", "elpv_dataset", "samples", "", sample_content.solar_cells,
    ),
}  # fmt: skip


def samples() -> list[Sample]:
    """The samples by name; nothing is imported or written."""
    return [
        Sample(
            name=name,
            modality=entry.modality,
            task=entry.task,
            n=entry.n,
            classes=entry.classes,
            about=entry.about,
            licence=entry.licence,
            package=entry.package,
            installed=_release(entry) is not None,
            install=_install(entry),
        )
        for name, entry in sorted(SAMPLES.items())
    ]


def sample_path(name: str) -> Path:
    """The folder of class folders, or the table, of a sample; laid out on first use and again if it was damaged.

    Raises:
        OptionError: no such sample; the message lists them.
        MissingLayerError: its package is not installed.
        StorageError: it cannot be written below `paths.samples_dir()`.
    """
    if name not in SAMPLES:
        near = get_close_matches(name, SAMPLES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"no sample {name!r}; there are {', '.join(sorted(SAMPLES))}{hint}")
    entry = SAMPLES[name]
    release = _release(entry)
    if release is None:
        raise MissingLayerError(f"the sample {name} needs {entry.package}, which is not installed: {_install(entry)}")
    folder = paths.samples_dir() / name
    stamp = f"{entry.package} {release}"
    if not is_intact(folder, stamp):
        lay_out(folder, entry.content(), stamp)
    return folder / entry.table


def _release(entry: _Entry) -> str | None:
    """The installed version of the package that ships the sample; None if it is absent."""
    try:
        return version(entry.package) if has(entry.module) else None
    except PackageNotFoundError:
        return None


def _install(entry: _Entry) -> str:
    return install_line(entry.layer) if entry.layer else f"pip install {entry.package}"
