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
from headstart.adapt.base import Reading
from headstart.data import splits
from headstart.engines.processor import processor
from headstart.plan import race
from headstart.plan.candidates import baselines
from headstart.plan.strategies import GROUP
from headstart.sources.catalogue import open_source
from headstart.workflow import FitOptions, fit
from headstart.workflow.trainings import clear

from .conftest import Sure

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
if any(importlib.util.find_spec(name) is None for name in ("torch", "accelerate")):
    pytest.skip("needs headstart[torch]", allow_module_level=True)


@pytest.fixture(scope="module")
def moved(glides, ears, tmp_path_factory):
    """The files of two fits alike but for their folders."""
    get = registry.get
    sure = Sure(get(GROUP, "lp-ft"), (Reading(1), Reading(2)))
    folder = tmp_path_factory.mktemp("moved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(race, "baselines", lambda *given: baselines(*given)[:1])
        patch.setattr(splits, "usual_folds", lambda *given: 3)
        patch.setattr(registry, "get", lambda group, name: sure if name == "lp-ft" else get(group, name))
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
            found.append(fit(data, FitOptions(out=out, sources=(str(ears),), strategies=("lp-ft", "frozen-ridge"))))
    return found


def test_it_ships_moved_weights_and_the_same_bytes_again(moved):
    one, two = moved
    assert one.report["chosen"] == {"source": "ears", "strategy": "lp-ft"}
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
    assert [one.strategy for one in source.lineage] == ["lp-ft", None]
    assert source.lineage[1].sha256 == original.fingerprint
    assert source.graph.read_bytes() != original.graph.read_bytes()
