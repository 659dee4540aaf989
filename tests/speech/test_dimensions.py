from __future__ import annotations

import math

import numpy as np
import pytest

from headstart.errors import SourceError
from headstart.speech.dimensions import EMBEDDINGS, Dimensions, dimensions

from .conftest import SHAPE


def test_as_many_weights_as_whisper_tiny_en_has() -> None:
    shape = Dimensions(384, 6, 4, 4, 1536, 80, 1500, 448, 51_864)
    # As OpenAI counts them; CTranslate2 has a bias of k besides, in 12 attentions.
    assert sum(map(math.prod, shape.shapes().values())) == 37_760_256 + 12 * 384


def test_sizes_are_read_back(small) -> None:
    assert dimensions(small.weights, SHAPE.heads, "x") == SHAPE


@pytest.mark.parametrize("name", sorted(SHAPE.shapes()))
def test_every_weight_is_needed_in_its_shape(small, name) -> None:
    cut = {**small.weights, name: small.weights[name][:-1]}
    with pytest.raises(SourceError):
        dimensions({key: array for key, array in small.weights.items() if key != name}, SHAPE.heads, "x")
    # One fewer token, band or position is another model, and no contradiction.
    if name not in (EMBEDDINGS, *(f"{side}/position_encodings/encodings" for side in ("encoder", "decoder"))):
        with pytest.raises(SourceError, match=r"shape|rank|width"):
            dimensions(cut, SHAPE.heads, "x")


def test_what_belongs_to_no_whisper_is_named(small) -> None:
    with pytest.raises(SourceError, match="decoder/extra belongs to no Whisper model"):
        dimensions({**small.weights, "decoder/extra": np.zeros(3, np.float16)}, SHAPE.heads, "x")


@pytest.mark.parametrize("heads", [0, 3, 65])
def test_heads_divide_the_width(small, heads) -> None:
    with pytest.raises(SourceError, match="heads"):
        dimensions(small.weights, heads, "x")
