"""The last layers of a decoder: which weights train, the way back to the source, and other forms of what moved."""

from __future__ import annotations

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

from headstart.adapt.checkpoint import Shelf  # noqa: E402
from headstart.adapt.settings import Settings  # noqa: E402
from headstart.speech.last_stages import LastStages  # noqa: E402
from headstart.speech.recipe import RECIPES, Recipe  # noqa: E402
from headstart.speech.torch_decoder import TorchDecoder  # noqa: E402
from headstart.speech.tuning import Point, tune  # noqa: E402
from headstart.workflow.transcription_folds import moved  # noqa: E402
from headstart.workflow.transcription_options import STRATEGIES, TranscriptionOptions  # noqa: E402


def test_every_strategy_has_a_recipe() -> None:
    assert tuple(RECIPES) == STRATEGIES
    assert TranscriptionOptions().strategy in RECIPES
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
