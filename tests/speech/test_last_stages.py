"""The last layers of a decoder: which weights train, the way back to the source, and other forms of what moved."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from headstart.progress import SILENT
from headstart.speech.checkpoint import Checkpoint
from headstart.speech.examples import Examples
from headstart.speech.recogniser import Recogniser
from headstart.speech.states import States

torch = pytest.importorskip("torch")
pytest.importorskip("ctranslate2")

from headstart.adapt import checkpoint  # noqa: E402
from headstart.adapt.checkpoint import Shelf  # noqa: E402
from headstart.adapt.optimiser import Optimiser  # noqa: E402
from headstart.adapt.settings import Settings  # noqa: E402
from headstart.speech.last_stages import LastStages  # noqa: E402
from headstart.speech.recipe import RECIPES, Recipe  # noqa: E402
from headstart.speech.torch_decoder import TorchDecoder  # noqa: E402
from headstart.speech.tuned import Point  # noqa: E402
from headstart.speech.tuning import tune  # noqa: E402
from headstart.workflow.transcription_folds import moved  # noqa: E402
from headstart.workflow.transcription_options import STRATEGIES, TranscriptionOptions  # noqa: E402


def test_every_strategy_has_a_recipe() -> None:
    assert tuple(RECIPES) == STRATEGIES
    assert TranscriptionOptions().strategy is None
    assert len({repr(one.state()) for one in RECIPES.values()}) == len(RECIPES)


@pytest.mark.parametrize(("share", "layers"), [(0.1, {"1"}), (0.5, {"1"}), (0.6, {"0", "1"}), (1.0, {"0", "1"})])
def test_a_share_of_the_layers_trains(small: Checkpoint, share: float, layers: set[str]) -> None:
    decoder = TorchDecoder(small)
    LastStages(share).begin(decoder)
    training = {name for name, p in decoder.named_parameters() if p.requires_grad}
    assert {name.split(".")[1] for name in training if name.startswith("layers.")} == layers
    assert {name for name in training if not name.startswith("layers.")} == {"layer_norm.weight", "layer_norm.bias"}


def test_on_the_way_back_and_then_the_very_same(small: Checkpoint) -> None:
    decoder, way = TorchDecoder(small), LastStages()
    way.begin(decoder)
    source = {name: p.detach().clone() for name, p in decoder.named_parameters()}
    for p in decoder.parameters():
        if p.requires_grad:
            p.data = p.data + torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
    there = {name: p.detach().clone() for name, p in decoder.named_parameters()}
    with way.scaled(decoder, small.weights, 0.25):
        for name, p in decoder.named_parameters():
            torch.testing.assert_close(p.detach(), torch.lerp(source[name], there[name], 0.25))
    for name, p in decoder.named_parameters():
        assert torch.equal(p.detach(), there[name])


def tensors() -> list[torch.Tensor]:
    """All that are in memory, gradients among them; what an exporter traced with has no memory, nor a shape."""
    found = [one for one in gc.get_objects() if type(one) in (torch.Tensor, torch.nn.Parameter)]
    return found + [one.grad for one in found if one.is_leaf and one.grad is not None]


def place(of: torch.Tensor) -> int:
    return int(of.untyped_storage().data_ptr())


def copies(of: TorchDecoder, besides: Sequence[torch.Tensor]) -> float:
    """How often the weights of the layers are in memory as tensors: trained, kept, their moments, their gradients."""
    shapes = {p.shape for p in of.layers.parameters()}
    found = [one for one in tensors() if one.shape in shapes and one.dtype == torch.float32]
    there = {place(one): one.untyped_storage().nbytes() for one in found}
    own = there.keys() - {place(one) for one in besides}
    return sum(there[at] for at in own) / sum(4 * p.numel() for p in of.layers.parameters())


def test_what_moves_is_held_no_oftener_than_needed(
    small: Checkpoint, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of each epoch: weights, gradients, two moments; copies of weights and moments; the epochs so far."""
    monkeypatch.setattr(checkpoint, "_PATIENCE", 0.0)  # every epoch's end is written to disk
    decoders, state, cloning, saving = [], Optimiser.state, [], []
    begin, keep = LastStages.begin, Shelf.keep
    gc.collect()
    others = tensors()  # of other tests; held, so that nothing new comes to lie where they are

    def begun(self, decoder):
        decoders.append(decoder)
        begin(self, decoder)

    def cloned(self):
        cloning.append(copies(decoders[0], others))
        return state(self)

    def kept(self, arrays, fields):
        saving.append(copies(decoders[0], others))
        keep(self, arrays, fields)

    monkeypatch.setattr(LastStages, "begin", begun)
    monkeypatch.setattr(Optimiser, "state", cloned)
    monkeypatch.setattr(Shelf, "keep", kept)
    examples = Examples(small, States(Recogniser(small), clips[:6], SILENT), ("one", "two") * 3, "en")
    recipe = Recipe(Settings(epochs=3, batch=3, rate=1e-2, bf16=False), LastStages(1.0))
    rows = np.arange(6)
    tune(small, examples, rows, rows, recipe, Shelf(tmp_path, "k"), seed=0, progress=SILENT)
    assert len(cloning) == len(saving) == 4
    for epoch, (before, after) in enumerate(zip(cloning, saving, strict=True)):
        once = 4 if epoch else 1
        assert before <= once + epoch + 1 + 0.1  # the older copies are gone when the new ones are made
        assert after <= once + epoch + 3 + 0.1


def test_what_moved_can_be_held_by_transformers(small: Checkpoint, clips: list[Path], tmp_path: Path) -> None:
    """Which have no bias of keys: one that training made out of rounding would be refused."""
    pytest.importorskip("transformers")
    from headstart.speech.conversion import from_transformers, to_transformers

    examples = Examples(small, States(Recogniser(small), clips[:6], SILENT), ("one", "two") * 3, "en")
    recipe = Recipe(Settings(epochs=2, batch=3, rate=1e-2, bf16=False), LastStages())
    rows, none = np.arange(6), np.zeros(0, np.int64)
    tuned = tune(small, examples, rows, none, recipe, Shelf(tmp_path, "k"), seed=0, progress=SILENT)
    ours = moved(small, tuned.weights(Point(2, 1.0)))
    again = from_transformers(to_transformers(ours), ours)
    assert again.fingerprint == ours.fingerprint != small.fingerprint
