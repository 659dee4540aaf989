"""A trained model, as loaded from its artefact: predict, evaluate, save."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.dataset import Dataset
from headstart.errors import DataError
from headstart.evidence.calibration import Calibration
from headstart.evidence.metric_intervals import with_intervals
from headstart.evidence.metrics import confusion
from headstart.heads.base import FittedHead
from headstart.model.damage import blame, damage
from headstart.model.featurisers import Failures, Featuriser, Items, join
from headstart.model.layout import ModelCard
from headstart.model.loaded import Loaded
from headstart.model.lost import errors_before
from headstart.model.origin import Origin
from headstart.progress import SILENT, Progress
from headstart.sources.base import Ancestor
from headstart.tasks import Target

# Items that are prepared and predicted together: bounds memory, keeps lines coming.
CHUNK = 512
_ROUNDING = 1e-9


@dataclass(eq=False)
class Model(Loaded):
    """A trained model.

    Attributes:
        card: what it is: task, classes, sources, calibration.
        report: the evidence of its fit, as `headstart fit --json` gives it (without wall-clock times).
        origin: the artefact it was loaded from.
    """

    card: ModelCard
    report: dict[str, Any]
    origin: Origin
    views: tuple[Featuriser, ...]
    head: FittedHead
    calibration: Calibration
    owners: tuple[Any, ...] = ()

    @staticmethod
    def opened(path: Path) -> Model:
        """The model in a file; see `packing.load`."""
        from headstart.model.packing import load

        return load(path)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of every array of probabilities."""
        return self.card.classes

    @property
    def lineage(self) -> tuple[Ancestor, ...]:
        """What it was made from, nearest first; empty where nothing was transferred."""
        return self.card.lineage

    def probabilities(self, items: Items) -> tuple[NDArray[np.float64], Failures]:
        """Calibrated probabilities of items.

        Args:
            items: image, sound: paths; text: strings; table: (n, d) float64 in the order of `card.columns`.

        Returns:
            (n, C) float64 (regression: (n, 1), the prediction), and position -> reason of the failed (zero rows).

        Raises:
            ArtefactError: the parts of the artefact contradict each other, or what it stores gives no probabilities.
        """
        with blame(self.path):
            return self._probabilities(items)

    def _probabilities(self, items: Items) -> tuple[NDArray[np.float64], Failures]:
        block = join([view.apply(items) for view in self.views])
        with damage("what it stores"):
            scores = self.head.scores(block.matrix)
            found = self.calibration.probabilities(scores)
            if np.isnan(scores).any() or found.shape != (len(items), len(self.classes)) or not self._possible(found):
                raise ValueError(f"it gives no {'numbers' if self.card.task == 'regression' else 'probabilities'}")
        return found, block.failures

    def _possible(self, found: NDArray[np.float64]) -> bool:
        """True for numbers, or for probabilities but for rounding; never for NaN."""
        if self.card.task == "regression":
            return bool(np.isfinite(found).all())
        return bool(((found >= -_ROUNDING) & (found <= 1 + _ROUNDING)).all())

    def predict(self, inputs: Any, *, input: str | None = None) -> list[dict[str, Any]]:  # noqa: A002  the column's word
        """Predict items; `predict_iter` as a list."""
        return list(self.predict_iter(inputs, input=input))

    def predict_iter(
        self,
        inputs: Any,
        *,
        input: str | None = None,  # noqa: A002
        progress: Progress = SILENT,
    ) -> Iterator[dict[str, Any]]:
        """Predict items one after another, in bounded memory.

        Args:
            inputs: image, sound: files, folders, or a table of paths; text: strings, .txt files, or tables; table:
                tables or DataFrames. One of them or a sequence.
            input: the table's column that holds the items, where it is not the one of the fit.

        Yields:
            {input, label, probability, probabilities, set, unknown}, or {input, error} for an item that cannot be read.
        """
        from headstart.data.inputs import read_inputs

        one = isinstance(inputs, (str, os.PathLike)) or hasattr(inputs, "columns")
        given = [inputs] if one else list(inputs)
        dataset = read_inputs(
            given, self.card.modality, input=input, usual_input=self.card.input, columns=self.card.columns
        )
        lost = deque(sorted(dataset.skipped, key=lambda skipped: skipped.before))
        with progress.bar("predict", dataset.name, len(dataset), _unit(self.card.modality)) as bar:
            for start in range(0, len(dataset), CHUNK):
                part = dataset.take(np.arange(start, min(start + CHUNK, len(dataset))))
                probabilities, failures = self.probabilities(part.items)
                for row, name in enumerate(part.ids):
                    yield from errors_before(lost, start + row)
                    if row in failures:
                        yield {"input": name, "error": failures[row]}
                    else:
                        yield {"input": name, **self._prediction(probabilities[row])}
                bar.advance(len(part))
        yield from errors_before(lost, len(dataset))

    def _prediction(self, p: NDArray[np.float64]) -> dict[str, Any]:
        named = dict(zip(self.classes, map(float, p), strict=True))
        absent = {"set": None, "unknown": None}
        if self.card.task == "regression":
            return {"label": float(p[0]), "probability": None, "probabilities": None, **absent}
        if self.card.task == "multilabel":
            held = [name for name, value in named.items() if value >= 0.5]
            joint = float(np.prod(np.where(p >= 0.5, p, 1 - p)))
            return {"label": held, "probability": joint, "probabilities": named, **absent}
        best = int(np.argmax(p))
        return {"label": self.classes[best], "probability": float(p[best]), "probabilities": named, **absent}

    def evaluate(
        self,
        data: Any,
        *,
        label: str | None = None,
        input: str | None = None,  # noqa: A002
        group: str | None = None,
        progress: Progress = SILENT,
    ) -> dict[str, Any]:
        """Score labelled data that took no part in the fit.

        Returns:
            {n, metrics: {name: {value, low, high}}, confusion, classes, skipped}; 95 % intervals, by group where there
            is one.

        Raises:
            DataError: a label that the model does not know, or nothing that can be read.
        """
        from headstart.data.read import read_for_model

        dataset = read_for_model(
            data,
            self.card.modality,
            self.card.task,
            self.classes,
            columns=self.card.columns,
            input=input,
            label=label,
            group=group,
            usual_input=self.card.input,
            usual_labels=self.card.labels,
        )
        return self._evaluate(dataset, progress)

    def _evaluate(self, dataset: Dataset, progress: Progress) -> dict[str, Any]:
        assert dataset.target is not None
        n = len(dataset)
        probabilities = np.zeros((n, len(self.classes)))
        failures: Failures = {}
        with progress.bar("evaluate", dataset.name, n, _unit(self.card.modality)) as bar:
            for start in range(0, n, CHUNK):
                rows = np.arange(start, min(start + CHUNK, n))
                probabilities[rows], failed = self.probabilities(dataset.take(rows).items)
                failures.update({start + row: reason for row, reason in failed.items()})
                bar.advance(len(rows))
        good = np.array([row for row in range(n) if row not in failures], dtype=np.int64)
        if not len(good):
            raise DataError(f"{dataset.name}: none of its {n} items could be read ({next(iter(failures.values()))})")
        target = dataset.target.take(good)
        groups = None if dataset.groups is None else dataset.groups[good]
        intervals = with_intervals(target, probabilities[good], groups=groups, seed=0)
        skipped = [{"id": s.id, "reason": s.reason} for s in dataset.skipped]
        skipped += [{"id": dataset.ids[row], "reason": reason} for row, reason in failures.items()]
        return {
            "n": len(good),
            "task": self.card.task,
            "classes": list(self.classes),
            "metrics": {name: interval.json() for name, interval in intervals.items()},
            "confusion": None if not target.exclusive else _confusion(target, probabilities[good]),
            "skipped": skipped,
        }


def _confusion(target: Target, probabilities: NDArray[np.float64]) -> list[list[int]]:
    counts: list[list[int]] = confusion(target, probabilities).tolist()
    return counts


def _unit(modality: str) -> str:
    return {"image": "images", "text": "texts", "sound": "clips"}.get(modality, "rows")
