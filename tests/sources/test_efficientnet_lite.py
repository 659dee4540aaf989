"""timm's tf_efficientnet_lite is the reference, with the same weights loaded by position."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import SourceError
from headstart.sources import efficientnet_lite
from headstart.sources.bundled import Bundled


@pytest.mark.parametrize("number", [0, 1, 2])
def test_equals_timm(number, tmp_path, run):
    timm = pytest.importorskip("timm")
    torch = pytest.importorskip("torch")
    provider = Bundled()
    entry = provider.entries()[number]
    if not entry.installed:
        pytest.skip("not installed")
    exported = provider.export(entry.name, tmp_path)

    from headstart.sources.bundled_packages import PACKAGES

    reference = timm.create_model(f"tf_efficientnet_lite{number}").eval()
    state = torch.load(PACKAGES[entry.name].locate()[0], weights_only=True)
    reference.load_state_dict(dict(zip(reference.state_dict(), state.values(), strict=True)))
    classifier = sum(p.numel() for p in reference.classifier.parameters())
    assert exported.parameters == sum(p.numel() for p in reference.parameters()) - classifier

    size = exported.input.size
    image = np.random.default_rng(number).normal(size=(2, 3, size, size)).astype(np.float32)
    stages = []
    for stage in reference.blocks:
        stage.register_forward_hook(lambda _module, _inputs, output: stages.append(output))
    with torch.no_grad():
        head = reference.forward_features(torch.from_numpy(image))
    expected = {}
    for name, x in zip([*(f"stage{i}" for i in range(1, 8)), "head"], [*stages, head], strict=True):
        expected |= {f"{name}.mean": x.mean((2, 3)).numpy(), f"{name}.max": x.amax((2, 3)).numpy()}

    got = run(tmp_path, {"image": image})
    assert [tap.name for tap in exported.taps] == list(expected) == list(got)
    for tap in exported.taps:
        assert got[tap.name].shape == (2, tap.width)
        np.testing.assert_allclose(got[tap.name], expected[tap.name], atol=1e-4, rtol=1e-4)


def test_other_weights_are_refused():
    state = {"stem": np.zeros((32, 3, 3, 3)), "gain": np.zeros(31)}
    variant = efficientnet_lite.VARIANTS["efficientnet_lite0"]
    with pytest.raises(SourceError, match=r"stem must have shape \(32,\), got \(31,\)"):
        efficientnet_lite.build(state, variant)
