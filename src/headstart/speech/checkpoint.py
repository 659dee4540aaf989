"""A Whisper recogniser as inert data: weights, settings, tokenizer, and where it is from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import SourceError
from headstart.sources.base import Ancestor
from headstart.speech.dimensions import EMBEDDINGS, Dimensions, dimensions
from headstart.speech.tokens import Tokens

Weights = Mapping[str, NDArray[Any]]
_SPEC, _REVISION = "WhisperSpec", 3
_GELU = 3
MOST_SUPPRESSED = 4096


def token_ids(value: object, what: str) -> tuple[int, ...]:
    """A list of token ids from JSON that may be anything.

    Raises:
        SourceError: it is none, or has more than MOST_SUPPRESSED.
    """
    if not isinstance(value, list) or len(value) > MOST_SUPPRESSED or any(type(one) is not int for one in value):
        raise SourceError(f"{what} must be a list of at most {MOST_SUPPRESSED:,} token ids")
    return tuple(value)


@dataclass(frozen=True)
class Settings:
    """What the weights alone do not say.

    Attributes:
        heads: of every attention.
        multilingual: trained on many languages; the prompt then names one. Else it hears English.
        suppress: token ids that are never produced.
        suppress_first: token ids that are not produced first.
    """

    heads: int
    multilingual: bool
    suppress: tuple[int, ...] = ()
    suppress_first: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A recogniser.

    Attributes:
        name: as a person names it, "whisper_tiny_en".
        weights: CTranslate2's names (see `dimensions`) -> float16 or float32, of finite values.
        tokenizer: a tokenizer.json of the `tokenizers` library.
        origin: where it is from, in words.
        lineage: itself, then what it was made from, nearest first.
    """

    name: str
    weights: Weights
    settings: Settings
    tokenizer: bytes
    licence: str
    origin: str
    lineage: tuple[Ancestor, ...] = ()

    @cached_property
    def dimensions(self) -> Dimensions:
        """The sizes that its weights have."""
        return dimensions(self.weights, self.settings.heads, self.name)

    @cached_property
    def tokens(self) -> Tokens:
        """Its tokenizer, opened."""
        return Tokens(self.tokenizer, self.dimensions.vocabulary, multilingual=self.settings.multilingual)

    @property
    def multilingual(self) -> bool:
        """True if it hears more than English."""
        return self.settings.multilingual

    @property
    def parameters(self) -> int:
        """The number of its weights."""
        return sum(array.size for array in self.weights.values())

    @cached_property
    def fingerprint(self) -> str:
        """sha256, in hex, over weights, settings and tokenizer; same fingerprint, same transcripts."""
        digest = hashlib.sha256(repr(self.settings).encode() + self.tokenizer)
        for name in sorted(self.weights):
            array = self.weights[name]
            digest.update(f"{name} {array.dtype.name} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def with_weights(self, weights: Weights) -> Checkpoint:
        """This recogniser with other weights of the same shapes.

        Raises:
            SourceError: other names, shapes or types, or values that are not finite.
        """
        return checked(replace(self, weights=weights))

    def files(self) -> dict[str, bytes]:
        """The files that CTranslate2 loads, by name; written from weights that have been checked.

        Raises:
            SourceError: as `checked`.
        """
        from headstart.sources.ctranslate2_file import ModelFile, write

        checked(self)
        variables = {**self.weights, **_constants(self.settings.heads)}
        model = ModelFile(_SPEC, _REVISION, dict(sorted(variables.items())), {"decoder/projection/weight": EMBEDDINGS})
        config = {
            "suppress_ids": list(self.settings.suppress),
            "suppress_ids_begin": list(self.settings.suppress_first),
            "lang_ids": list(self.tokens.languages.values()),
            "alignment_heads": self._aligning(),
        }
        return {
            "model.bin": write(model),
            "config.json": json.dumps(config).encode(),
            "vocabulary.json": json.dumps(self.tokens.vocabulary).encode(),
        }

    def _aligning(self) -> list[tuple[int, int]]:
        """Layer and head of those whose attention says when a word is said: all of the later half."""
        layers = self.dimensions.decoder_layers
        return [(layer, head) for layer in range(layers // 2, layers) for head in range(self.settings.heads)]


def checked(checkpoint: Checkpoint) -> Checkpoint:
    """`checkpoint`, if a recogniser can be made of it: shapes, types, finite values, tokens, all agreeing.

    Raises:
        SourceError: it is not.
    """
    shape = checkpoint.dimensions
    for name, array in checkpoint.weights.items():
        if array.dtype not in (np.float16, np.float32):
            raise SourceError(f"{checkpoint.name}: {name} is {array.dtype}; expected float16 or float32")
        if not np.isfinite(array).all():
            raise SourceError(f"{checkpoint.name}: {name} has values that are not finite")
    settings = checkpoint.settings
    odd = [token for token in (*settings.suppress, *settings.suppress_first) if not 0 <= token < shape.vocabulary]
    if odd:
        raise SourceError(f"{checkpoint.name}: token {odd[0]} to suppress is none of its {shape.vocabulary:,} tokens")
    _ = checkpoint.tokens
    return checkpoint


def halved(checkpoint: Checkpoint) -> Checkpoint:
    """`checkpoint` in float16, as an artefact keeps it.

    Raises:
        SourceError: as `checked`; a weight beyond float16 is not finite there.
    """
    with np.errstate(over="ignore"):  # told by `checked`
        weights = {name: array.astype(np.float16, copy=False) for name, array in checkpoint.weights.items()}
    return checked(replace(checkpoint, weights=weights))


def rooted(checkpoint: Checkpoint) -> Checkpoint:
    """`checkpoint` as the first of its lineage: no fit made it."""
    own = Ancestor(checkpoint.name, checkpoint.fingerprint, checkpoint.origin, checkpoint.licence)
    return replace(checkpoint, lineage=(own,))


def _constants(heads: int) -> dict[str, NDArray[Any]]:
    """The variables of a model.bin that are no weights: they choose Whisper among the forms that CTranslate2 knows."""
    numbers = {"encoder/num_heads": heads, "decoder/num_heads": heads, "decoder/alignment_layer": -1,
               "decoder/alignment_heads": 1}  # fmt: skip
    flags = {"decoder/activation": _GELU, "decoder/alibi": 0, "decoder/pre_norm": 1, "decoder/scale_embeddings": 0,
             "decoder/start_from_zero_embedding": 0}  # fmt: skip
    return {
        **{name: np.array(number, np.int16) for name, number in numbers.items()},
        **{name: np.array(flag, np.int8) for name, flag in flags.items()},
    }
