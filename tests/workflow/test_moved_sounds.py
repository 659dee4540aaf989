"""A source of sounds whose weights a fit moved: saved, loaded without torch, and the source of the next fit."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart import registry
from headstart.engines.processor import processor
from headstart.plan import race
from headstart.plan.candidates import baselines
from headstart.plan.strategies import GROUP
from headstart.sources.catalogue import open_source
from headstart.workflow import FitOptions, fit
from headstart.workflow.trainings import clear

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
if any(importlib.util.find_spec(name) is None for name in ("torch", "accelerate")):
    pytest.skip("needs headstart[torch]", allow_module_level=True)


class Sure:
    """LP-FT for two epochs that claims to be right about items it did not learn from, so that it ships."""

    name = "sure"

    def __init__(self, learner):
        self._learner = learner

    def __getattr__(self, name):
        return getattr(self._learner, name)

    def readings(self, job, rows):
        return (hs_reading(1), hs_reading(2))

    def learn(self, job, train, test, readings):
        learned = self._learner.learn(job, train, test, readings)
        if np.isin(test, train).all():  # the training on everything, which is checked against the engine
            return learned
        right = np.stack([1 - 2 * job.target.y[test], 2 * job.target.y[test] - 1], axis=1).astype(np.float64)
        return replace(learned, scores=tuple(5 * right for _ in learned.scores))


def hs_reading(epoch):
    from headstart.adapt.base import Reading

    return Reading(epoch)


@pytest.fixture(scope="module")
def moved(glides, ears, tmp_path_factory):
    """The files of two fits alike but for their folders."""
    learner, get, names = registry.get(GROUP, "lp-ft"), registry.get, registry.names
    folder = tmp_path_factory.mktemp("moved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(race, "baselines", lambda *given: baselines(*given)[:1])
        patch.setattr(registry, "get", lambda group, name: Sure(learner) if name == "sure" else get(group, name))
        patch.setattr(registry, "names", lambda group: (*names(group), *(("sure",) if group == GROUP else ())))
        one = replace(processor(), cores=1)  # networks this small are slower on several, above all on a busy machine
        for module in ("device", "training"):
            patch.setattr(f"headstart.adapt.{module}.processor", lambda: one)
        data = folder / "glides.csv"  # a third of the labels by chance, so that nothing else is right
        rng, clips = np.random.default_rng(0), sorted(glides.rglob("*.*"))
        labels = [rng.choice(["up", "down"]) if k % 3 == 0 else clip.parent.name for k, clip in enumerate(clips)]
        data.write_text("path,label\n" + "".join(f"{c},{w}\n" for c, w in zip(clips, labels, strict=True)))
        found = []
        for k in range(2):
            clear()  # what was trained is trained again
            out = folder / f"{k}" / "moved.headstart"
            out.parent.mkdir()
            found.append(fit(data, FitOptions(out=out, sources=(str(ears),), strategies=("sure", "frozen-ridge"))))
    return found


def test_it_ships_moved_weights_and_the_same_bytes_again(moved):
    one, two = moved
    assert one.report["chosen"] == {"source": "ears", "strategy": "sure"}
    assert Path(one.path).read_bytes() == Path(two.path).read_bytes()


def test_it_predicts_without_torch_as_with_it(moved, glides, monkeypatch):
    clips = sorted(glides.rglob("*.*"))
    given = hs.load(moved[0].path).predict(clips)
    monkeypatch.setitem(sys.modules, "torch", None)
    again = hs.load(moved[1].path).predict(clips)
    assert given == again
    assert {p["label"] for p in given} == {"up", "down"}


def test_it_is_a_source_with_its_lineage(moved, ears, tmp_path):
    source, original = open_source(str(moved[0].path)), open_source(str(ears))
    assert source.modality == "sound"
    assert source.input == original.input
    assert [one.strategy for one in source.lineage] == ["sure", None]
    assert source.lineage[1].sha256 == original.fingerprint
    assert source.graph.read_bytes() != original.graph.read_bytes()
