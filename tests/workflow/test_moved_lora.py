"""LoRA through the whole of fit: what was trained beside the weights is in the file, merged, and needs no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("accelerate")
pytest.importorskip("peft")

import torch

import headstart as hs
from headstart.adapt.base import Reading
from headstart.adapt.training import Training
from headstart.sources.catalogue import open_source

_FRESH = """
import json, sys
for package in ("torch", "torchvision", "accelerate", "peft"):
    sys.modules[package] = None  # an import of it fails
import headstart as hs
print(json.dumps(hs.load(sys.argv[1]).predict(sys.argv[2:])))
"""


pytestmark = pytest.mark.usefixtures("plain")


def log_odds(p: np.ndarray) -> np.ndarray:
    """(n,) of the second class against the first."""
    return np.log(p[:, 1] / p[:, 0])


@pytest.mark.parametrize(
    ("kind", "items", "adapted", "untouched"),
    [
        ("small_conv", "squares", ("stem.weight", "stage2.project.weight"), ("stage1.depthwise.weight", "stem.bias")),
        ("small_bert", "letters", ("attention.self.query.weight", "output.dense.weight"), ("word_embeddings",)),
    ],
)
def test_the_file_predicts_as_the_network_with_its_products_apart(
    request, claim, monkeypatch, tmp_path, kind, items, adapted, untouched
):
    """The reference is torch's network as it stood when training ended: frozen weights, products and head apart."""
    reference, data = request.getfixturevalue(kind), request.getfixturevalue(items)
    one_by_one = np.arange(48)[:, None]
    sure = claim("lora", Reading(8))
    run, logits = Training.run, {}

    def watched(self, readings):
        learned = run(self, readings)
        products = [p for name, p in self._network.named_parameters() if "lora_B" in name]
        assert products
        for kind in ("with", "without"):
            with torch.no_grad():
                each = [self._network.eval()(self._device.put(self._inputs.feeds(rows, None))) for rows in one_by_one]
                logits[kind] = torch.cat(each).numpy().astype(np.float64)
                for product in products:
                    product.zero_()
        return learned

    monkeypatch.setattr(Training, "run", watched)
    model = hs.fit(data, source=str(reference), strategy="lora", out=tmp_path / "m.headstart")
    assert model.report["chosen"]["strategy"] == "lora"
    wanted, unmoved = (log_odds(model.calibration.probabilities(logits[kind])) for kind in ("with", "without"))

    rows = [str(item) for item in sure.given[-1][0].items] if data.is_dir() else [str(data)]
    command = [sys.executable, "-c", _FRESH, str(tmp_path / "m.headstart"), *rows]
    printed = subprocess.run(command, check=True, env=os.environ, capture_output=True, text=True).stdout
    found = json.loads(printed)
    got = np.array([[one["probabilities"][name] for name in model.classes] for one in found])
    np.testing.assert_allclose(log_odds(got), wanted, atol=0.02 * wanted.std())
    assert np.abs(unmoved - wanted).max() > 0.2 * wanted.std()  # what was learned is in the products

    before, after = (
        {t.name: numpy_helper.to_array(t) for t in onnx.load(str(open_source(str(path)).graph)).graph.initializer}
        for path in (reference, tmp_path / "m.headstart")
    )
    changed = {name for name, value in after.items() if not np.array_equal(value, before[name])}
    assert all(any(part in name for name in changed) for part in adapted)
    assert not any(part in name for name in changed for part in untouched)
