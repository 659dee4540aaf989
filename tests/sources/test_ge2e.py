"""torch.nn.LSTM is the reference, in Resemblyzer's VoiceEncoder as its source states it."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.errors import SourceError
from headstart.sources import ge2e
from headstart.sources.base import SoundInput
from headstart.sources.bundled import Bundled
from headstart.sources.bundled_packages import PACKAGES
from headstart.sources.graph import write
from headstart.sources.torch_file import read_state


def voice_encoder(bands, hidden, layers, outputs):
    torch = pytest.importorskip("torch")

    class VoiceEncoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(bands, hidden, layers, batch_first=True)
            self.linear = torch.nn.Linear(hidden, outputs)
            self.relu = torch.nn.ReLU()

        def forward(self, mels):
            _, (states, _) = self.lstm(mels)
            raw = self.relu(self.linear(states[-1]))
            return raw / torch.norm(raw, dim=1, keepdim=True)

    torch.manual_seed(0)
    return VoiceEncoder().eval()


def check(model, built, folder, run, most):
    """The embedding of the whole, and each layer's outputs, from LSTMs of one layer and more that share weights."""
    import torch

    graph, taps, parameters = built
    write(graph, folder)
    assert parameters == sum(p.numel() for p in model.parameters())
    bands, layers = model.lstm.input_size, model.lstm.num_layers
    rng = np.random.default_rng(0)
    for t in (1, 7, 161):
        mel = rng.exponential(size=(3, bands, t)).astype(np.float32)
        x = torch.from_numpy(mel.transpose(0, 2, 1).copy())
        got = run(folder, {"mel": mel})
        assert list(got) == [tap.name for tap in taps]
        with torch.no_grad():
            np.testing.assert_allclose(got["embedding"], model(x).numpy(), atol=most)
            for depth in range(1, layers + 1):
                short = torch.nn.LSTM(bands, model.lstm.hidden_size, depth, batch_first=True)
                short.load_state_dict({name: model.lstm.state_dict()[name] for name in short.state_dict()})
                y = short(x)[0]
                np.testing.assert_allclose(got[f"lstm{depth}.mean"], y.mean(1).numpy(), atol=most)
                np.testing.assert_allclose(got[f"lstm{depth}.std"], y.std(1, correction=0).numpy(), atol=most)


def test_made_up_weights_equal_torch(tmp_path, run):
    model = voice_encoder(5, 6, 2, 4)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    how = SoundInput(rate=16_000, seconds=1.6, front="ge2e", bands=5)
    built = ge2e.build(state, how)
    assert [(tap.name, tap.depth, tap.pooling, tap.width) for tap in built[1]] == [
        ("lstm1.mean", 0, "mean", 6), ("lstm1.std", 0, "std", 6), ("lstm2.mean", 1, "mean", 6),
        ("lstm2.std", 1, "std", 6), ("embedding", 2, "mean", 4),
    ]  # fmt: skip
    check(model, built, tmp_path, run, 1e-5)


def test_resemblyzers_weights_equal_torch(tmp_path, run):
    package = PACKAGES["ge2e_speaker"]
    if not package.locate():
        pytest.skip("Resemblyzer is not installed")
    import torch

    state = read_state(package.locate()[0], package.sha256, "", "model_state")
    model = voice_encoder(40, 256, 3, 256)
    loading = model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()}, strict=False)
    assert loading.missing_keys == []
    assert loading.unexpected_keys == ["similarity_weight", "similarity_bias"]  # of the training's loss
    built = ge2e.build(state, package.input)
    assert built[2] == package.parameters
    check(model, built, tmp_path, run, 1e-4)
    assert Bundled().export("ge2e_speaker", tmp_path).taps == built[1]


def test_an_embedding_of_nothing_is_zero(tmp_path, run):
    model = voice_encoder(3, 4, 1, 2)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    state |= {"linear.weight": np.zeros((2, 4), np.float32), "linear.bias": -np.ones(2, np.float32)}
    write(ge2e.build(state, SoundInput(rate=16_000, seconds=1.6, front="ge2e", bands=3))[0], tmp_path)
    assert run(tmp_path, {"mel": np.ones((1, 3, 5), np.float32)})["embedding"].tolist() == [[0, 0]]


def test_other_weights_are_refused():
    how = SoundInput(rate=16_000, seconds=1.6, front="ge2e", bands=3)
    with pytest.raises(SourceError, match=r"weight_hh_l0 is missing"):
        ge2e.build({}, how)
    state = {"lstm.weight_hh_l0": np.zeros((8, 2)), "lstm.weight_ih_l0": np.zeros((8, 4))}
    with pytest.raises(SourceError, match=r"weight_ih_l0 is of shape \(8, 4\), not \(8, 3\)"):
        ge2e.build(state, how)
