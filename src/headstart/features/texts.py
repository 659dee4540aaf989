"""Texts become a graph's inputs: tokenised, and batched so that a text's features do not depend on its neighbours."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.errors import SourceError, one_line
from headstart.sources.base import TextInput

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ids = NDArray[np.int32]

# Up to EXACT tokens a batch holds texts of one length, unpadded; above, of one length rounded up to ROUND.
EXACT, ROUND = 32, 8
MAX_TEXTS, MAX_TOKENS = 64, 4096
# What lies beyond could only matter to a model of very many tokens; tokenising it all would take memory without bound.
MAX_CHARACTERS = 1_000_000
# A tokenizer that could make a text longer by more than this is refused: it would fill the memory.
MAX_GROWTH = 64


def load_tokenizer(path: Path, how: TextInput) -> Tokenizer:
    """The tokenizer in a `tokenizers` JSON file, cutting at `how.max_tokens`, never padding.

    Raises:
        SourceError: the file is missing or is no tokenizer, or one that makes texts far longer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exceptions
        reason = one_line(error)
        raise SourceError(f"{path} is not a tokenizer ({reason}); export the source again") from None
    normalizer = tokenizer.normalizer
    if normalizer is not None and (growth := _growth(json.loads(normalizer.__getstate__()))) > MAX_GROWTH:
        raise SourceError(
            f"{path} makes texts {growth} times as long, {MAX_GROWTH} times at most is taken: hostile file?"
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(how.max_tokens)
    return tokenizer


def _growth(normalizer: dict[str, Any]) -> int:
    """How many times as long a text may become, at most, by what is put in place of its characters."""
    parts = [normalizer.get("prepend", ""), normalizer.get("content", ""), *_replacements(normalizer)]
    own = max(1, *(len(part) for part in parts if isinstance(part, str)))
    return own * math.prod(_growth(one) for one in normalizer.get("normalizers", ()))


def _replacements(normalizer: dict[str, Any]) -> list[str]:
    """What a SentencePiece map may put in place of a character.

    Its bytes are the size of a trie (uint32, little-endian), the trie, and strings that each end in a zero byte.
    """
    packed = base64.b64decode(normalizer.get("precompiled_charsmap") or "")
    strings = packed[4 + int.from_bytes(packed[:4], "little") :]
    return [one.decode("utf-8", "replace") for one in strings.split(b"\0")]


def tokenise(texts: Sequence[str], tokenizer: Tokenizer, how: TextInput) -> list[Ids | str]:
    """The token ids of each text, (t,) int32 with 1 <= t <= how.max_tokens; or, a string, why it has none."""
    found: list[Ids | str] = [_refusal(text) for text in texts]
    good = [i for i, refusal in enumerate(found) if not len(refusal)]
    encodings = tokenizer.encode_batch([how.prefix + texts[i][:MAX_CHARACTERS] for i in good])
    for i, encoding in zip(good, encodings, strict=True):
        found[i] = (
            np.array(encoding.ids, np.int32) if encoding.ids else "no words that the tokenizer knows in this text"
        )
    return found


def _refusal(text: str) -> str:
    """Why a text cannot be read, or nothing."""
    if not text.strip():
        return "the text is empty; expected words"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"the text is not valid Unicode at character {error.start}; write the file again as UTF-8"
    return ""


def batches(lengths: NDArray[np.int64], how: TextInput) -> list[NDArray[np.int64]]:
    """Positions of n texts in batches of one padded length each, the longest first.

    Args:
        lengths: (n,) their token counts.
    """
    padded = padded_lengths(lengths, how)
    order = np.argsort(-padded, kind="stable")
    ends = np.flatnonzero(np.diff(padded[order])) + 1
    found = []
    for alike in np.split(order, ends):
        if len(alike):
            size = max(1, min(MAX_TEXTS, MAX_TOKENS // int(padded[alike[0]])))
            found += [alike[i : i + size] for i in range(0, len(alike), size)]
    return found


def padded_lengths(lengths: NDArray[np.int64], how: TextInput) -> NDArray[np.int64]:
    """What each text is padded to: a function of its own length only. Never past how.max_tokens."""
    rounded = np.minimum(-(-lengths // ROUND) * ROUND, np.maximum(how.max_tokens, lengths))
    return np.where(lengths <= EXACT, lengths, rounded)


def feeds(ids: Sequence[Ids], how: TextInput) -> dict[str, NDArray[np.int64]]:
    """The graph's inputs for texts of one padded length: `input_ids` and `attention_mask`, (n, t) int64."""
    lengths = np.array([len(row) for row in ids], np.int64)
    width = int(padded_lengths(lengths, how).max())
    tokens = np.full((len(ids), width), how.pad_id, np.int64)
    for row, own in zip(tokens, ids, strict=True):
        row[: len(own)] = own
    return {"input_ids": tokens, "attention_mask": (np.arange(width) < lengths[:, None]).astype(np.int64)}
