"""The shape of a BERT encoder, as its config.json tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headstart.errors import SourceError
from headstart.sources.files import Fields


@dataclass(frozen=True)
class BertConfig:
    """The shape of the encoder; `positions` bounds the tokens of a text."""

    layers: int
    heads: int
    hidden: int
    positions: int
    vocabulary: int
    epsilon: float = 1e-12


def read_config(config: Mapping[str, object], where: str) -> BertConfig | None:
    """The shape that a transformers config.json tells, or None where it is not a plain BertModel.

    Raises:
        SourceError: it says it is one, and has missing or impossible numbers; `where` names the file.
    """
    plain = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    if any(config.get(key, value) != value for key, value in plain.items()) or config.get("is_decoder"):
        return None
    fields = Fields(config, where)
    shape = BertConfig(
        layers=fields.integer("num_hidden_layers", low=1, high=256),
        heads=fields.integer("num_attention_heads", low=1, high=1024),
        hidden=fields.integer("hidden_size", low=1, high=1 << 16),
        positions=fields.integer("max_position_embeddings", low=2, high=1 << 20),
        vocabulary=fields.integer("vocab_size", low=1, high=1 << 24),
        epsilon=fields.number("layer_norm_eps", 1e-12, low=0, high=1),
    )
    fields.finish(others=True)
    if shape.hidden % shape.heads:
        raise SourceError(f"{where}: hidden_size {shape.hidden} is not a multiple of the {shape.heads} heads")
    return shape
