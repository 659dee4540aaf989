"""A source of another modality is refused before anything is exported or downloaded for it."""

from __future__ import annotations

import json

import pytest

from headstart.data.read import read
from headstart.errors import OptionError, SourceError
from headstart.paths import sources_dir
from headstart.progress import SILENT
from headstart.sources import catalogue
from headstart.sources.catalogue import modality_of
from headstart.workflow.clock import Clock
from headstart.workflow.gather import gather
from headstart.workflow.options import FitOptions


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(catalogue, "_export", lambda *_: pytest.fail("something was exported"))


@pytest.mark.parametrize(
    ("reference", "reads"),
    [
        ("minilm_l6", "text"),
        ("efficientnet_lite0", "image"),
        ("timm/resnet18.a1_in1k", "image"),
        ("sentence-transformers/all-mpnet-base-v2", "text"),
        ("a model.headstart", None),
    ],
)
def test_what_a_source_reads_is_known_before(reference, reads):
    assert modality_of(reference) == reads


def test_of_an_onnx_file_its_description_tells(tmp_path):
    path = tmp_path / "m.onnx"
    assert modality_of(str(path)) is None
    path.with_suffix(".json").write_text(json.dumps({"modality": "text"}))
    assert modality_of(str(path)) == "text"
    path.with_suffix(".json").write_text(json.dumps({"modality": ["words"]}))
    assert modality_of(str(path)) is None
    assert modality_of("\0.onnx") is None


@pytest.mark.parametrize("sources", [("minilm_l6",), ("efficientnet_lite0", "sentence-transformers/encoder")])
def test_another_modality_is_refused_before_any_export(corners, sources):
    with pytest.raises(OptionError, match=rf"source {sources[-1]} reads texts, but corners holds images"):
        gather(read(corners), FitOptions(sources=sources), SILENT, Clock())
    assert not sources_dir().exists()


def test_an_unknown_source_is_refused_before_the_first_is_exported(corners):
    with pytest.raises(SourceError, match="no source 'nothing'"):
        gather(read(corners), FitOptions(sources=("efficientnet_lite0", "nothing")), SILENT, Clock())
