"""Real models whose parts were changed under fitting hashes: an ArtefactError, or predictions; never anything else."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load as arrays_of
from safetensors.numpy import save as bytes_of

from headstart.archive.container import open_archive, write_archive
from headstart.archive.names import CARD
from headstart.data.splits import folds
from headstart.errors import ArtefactError
from headstart.model import load
from headstart.model.packing import write
from headstart.plan.candidates import frozen
from headstart.plan.crossfit import Problem
from headstart.plan.views import RowsView, TfidfView, View
from headstart.tasks import Target

ROUNDS = 25
N = 24
MODELS = [
    ("text", "sparse-linear", "binary"),
    ("text", "sparse-linear", "multilabel"),
    ("text", "boosted-trees", "multiclass"),
    ("table", "boosted-trees", "regression"),
    ("table", "ridge", "multiclass"),
    ("table", "ridge", "multilabel"),
    ("table", "logistic", "binary"),
    ("table", "knn", "multiclass"),
    ("table", "knn", "regression"),
    ("table", "kernel", "binary"),
]
TEXTS = [f"{('tea', 'coffee', 'milk')[i % 3]} and {('rain', 'sun', 'snow', 'wind')[i % 4]}" for i in range(N)]
ODD: list[Any] = [
    None, True, -1, 0, 3, 10**9, 10**400, 1e308, -1e-320, float("nan"), float("-inf"), "", "nan", "table", "regression",
    "multilabel", "ridge", [], [[]], ["a"], [0, 0], {}, {"kind": 1}, {"terms": 1},
]  # fmt: skip


@dataclass(frozen=True)
class Made:
    """An artefact's parts, and items that it predicts."""

    parts: dict[str, bytes]
    items: Any


def targets(task: str) -> Target:
    rng = np.random.default_rng(0)
    kind = np.arange(N) % 3
    if task == "regression":
        return Target("regression", kind + rng.normal(0, 0.1, N), ("y",))
    if task == "multilabel":
        held = np.stack([kind == 0, kind > 0, rng.random(N) > 0.5], axis=1)
        return Target("multilabel", held.astype(np.uint8), ("a", "b", "c"))
    return Target("binary", kind % 2, ("a", "b")) if task == "binary" else Target("multiclass", kind, ("a", "b", "c"))


@pytest.fixture(scope="module", params=MODELS, ids="-".join)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    modality, head, task = request.param
    target = targets(task)
    x = np.random.default_rng(1).normal(size=(N, 3)) + target.encoded()[:, :1]
    if head != "kernel":  # which is for sources, and these have no gaps
        x[::5, 1] = np.nan
    columns = ("u", "v", "w") if modality == "table" else ()
    view: View = RowsView(x, columns) if modality == "table" else TfidfView(TEXTS)
    problem = Problem(target, folds(target, k=3, seed=0), None, None, 0)
    candidate = frozen(view, head)
    fitted = candidate.fit_all(problem, candidate.crossfit(problem))
    path = tmp_path_factory.mktemp("made") / "m.headstart"
    card = {"name": "m", "modality": modality, "task": task, "classes": target.classes, "columns": columns,
            "input": None, "data": {}, "versions": {}}  # fmt: skip
    write(path, fitted, card, {"notes": []}, {})
    with open_archive(path) as archive:
        return Made({name: archive.bytes(name) for name in archive.names}, x if modality == "table" else TEXTS)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key in a JSON value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


def odd_json(parts: dict[str, bytes], rng: np.random.Generator) -> None:
    """One value of the card is another, is gone, or stands twice."""
    card = json.loads(parts[CARD])
    found = [place for place in places(card) if len(place[0]) < 20]  # not each of a vocabulary's terms
    holder, key = found[int(rng.integers(len(found)))]
    how = rng.random()
    if how < 0.1:
        del holder[key]
    elif how < 0.2 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = copy.deepcopy(ODD[int(rng.integers(len(ODD)))])
    parts[CARD] = json.dumps(card).encode()


def spoil(array: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    most = np.finfo(array.dtype).max if array.dtype.kind == "f" else np.iinfo(array.dtype).max
    with np.errstate(all="ignore"):
        return [
            lambda: np.where(rng.random(array.shape) < 0.3, np.nan, array).astype(array.dtype),
            lambda: np.where(rng.random(array.shape) < 0.3, np.inf, array).astype(array.dtype),
            lambda: np.full_like(array, most),
            lambda: array * array.dtype.type(0),
            lambda: -array - array.dtype.type(1),
            lambda: array[..., None],
            lambda: array.reshape(-1),
            lambda: array[:0],
            lambda: array[1:],
            lambda: np.concatenate([array, array]),
            lambda: array.T.copy(),
            lambda: array.reshape(-1)[:1].sum(),
            lambda: array.astype(rng.choice(["bool", "int8", "uint64", "int64", "float16", "float32", "float64"])),
        ][int(rng.integers(13))]()  # fmt: skip


def odd_array(parts: dict[str, bytes], rng: np.random.Generator) -> None:
    """One array is spoilt, or gone, or another's."""
    names = [name for name in parts if name.endswith(".safetensors")]
    name = names[int(rng.integers(len(names)))]
    arrays = arrays_of(parts[name])
    keys = sorted(arrays)
    key = keys[int(rng.integers(len(keys)))]
    how = rng.random()
    if how < 0.05:
        del arrays[key]
    elif how < 0.1:
        arrays[key] = arrays[keys[int(rng.integers(len(keys)))]]
    else:
        arrays[key] = np.asarray(spoil(arrays[key], rng))
    parts[name] = bytes_of({one: np.ascontiguousarray(array) for one, array in arrays.items()})


@pytest.mark.parametrize("mutate", [odd_json, odd_array])
def test_only_artefact_errors_or_predictions_come_out(
    made: Made, mutate: Callable[[dict[str, bytes], np.random.Generator], None], tmp_path: Path
) -> None:
    path = tmp_path / "m.headstart"
    rng = np.random.default_rng(3)
    refusals = predicted = 0
    for _ in range(ROUNDS):
        parts: dict[str, bytes | Path] = dict(made.parts)
        mutate(parts, rng)  # type: ignore[arg-type]
        write_archive(path, parts)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of overflow, on the way to a refusal
            try:
                model = load(path)
                found, failures = model.probabilities(made.items)
            except ArtefactError as refusal:
                refusals += "\n" not in str(refusal)
                continue
        assert failures == {}
        assert found.shape == (N, len(model.classes))
        assert np.isfinite(found).all()
        assert model.card.task == "regression" or ((found >= -1e-9) & (found <= 1 + 1e-9)).all()
        predicted += 1
    assert refusals + predicted == ROUNDS
    assert min(refusals, predicted) > 0


def test_a_model_that_was_not_changed_predicts(made: Made, tmp_path: Path) -> None:
    write_archive(tmp_path / "m.headstart", dict(made.parts))
    found, failures = load(tmp_path / "m.headstart").probabilities(made.items)
    assert failures == {}
    assert np.ptp(found[:, 0]) > 0.1
