"""What a transformers folder says in JSON: the architecture, the licence; of texts lengths, padding and prefix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headstart.errors import SourceError
from headstart.sources.base import TOKENIZER_FILE, TextInput
from headstart.sources.files import JSON_LIMIT, Fields, read_object

_UNKNOWN_LENGTH = 512
_LONGEST = 1 << 20  # above this, a "maximum" is a stand-in for none
# Their positions start after the padding id, so that many fewer tokens fit.
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xlm-roberta-xl", "data2vec-text"}


@dataclass(frozen=True)
class ModelFolder:
    """A model's folder and the contents of its config.json."""

    path: Path
    root: Path
    config: Mapping[str, object]

    @property
    def model_type(self) -> str:
        """The kind of architecture, "bert"."""
        return str(self.config.get("model_type"))

    @property
    def licence(self) -> str:
        """Of the model card, if it has one, else "unknown"."""
        card = self.root / "README.md"
        if card.is_file():
            with card.open(encoding="utf-8", errors="replace") as file:
                for line in file.read(1 << 16).splitlines():
                    if line.startswith("license:"):
                        return line.partition(":")[2].strip(" \"'")[:100] or "unknown"
        return "unknown"

    def describe(self, tokenizer: bytes, vocabulary: int) -> TextInput:
        """The input description for a tokenizer file's bytes and a model with `vocabulary` word embeddings.

        Raises:
            SourceError: the tokenizer has tokens that the model has not, or a JSON file is wrong.
        """
        import tokenizers

        tokens = tokenizers.Tokenizer.from_buffer(tokenizer).get_vocab()
        largest = max(tokens.values(), default=0)
        if largest >= vocabulary:
            raise SourceError(
                f"{self.path}: the tokenizer has ids up to {largest}, the model knows {vocabulary} tokens; "
                "use the tokenizer that belongs to the model"
            )

        settings = self._read("tokenizer_config.json")
        pad = settings.get("pad_token")
        pad = pad.get("content") if isinstance(pad, dict) else pad
        pad_id = tokens.get(pad) if isinstance(pad, str) else None
        if pad_id is None:
            configured = self.config.get("pad_token_id")
            pad_id = configured if isinstance(configured, int) and configured >= 0 else 0
        return TextInput(max_tokens=self._max_tokens(settings, pad_id), pad_id=pad_id, prefix=self._prefix())

    def _max_tokens(self, settings: Mapping[str, object], pad_id: int) -> int:
        """The least that any file sets."""
        positions = self.config.get("max_position_embeddings")
        if isinstance(positions, int) and self.model_type in _OFFSET_POSITIONS:
            positions -= pad_id + 1
        limits = [
            self._read("sentence_bert_config.json").get("max_seq_length"),
            settings.get("model_max_length"),
            positions,
        ]
        known = [limit for limit in limits if isinstance(limit, int) and 2 <= limit <= _LONGEST]
        return min(known, default=_UNKNOWN_LENGTH)

    def _prefix(self) -> str:
        """The prompt that sentence-transformers would put before every text."""
        settings = self._read("config_sentence_transformers.json")
        prompts, name = settings.get("prompts"), settings.get("default_prompt_name")
        prefix = prompts.get(name) if isinstance(prompts, dict) and isinstance(name, str) else None
        return prefix if isinstance(prefix, str) else ""

    def _read(self, name: str) -> Mapping[str, object]:
        for folder in (self.root, self.path):
            if (folder / name).is_file():
                return read_object(folder / name)
        return {}


def read_model_folder(root: Path) -> ModelFolder:
    """The folder whose config.json has a model_type: `root`, or the first module of an older sentence-transformers one.

    Raises:
        SourceError: there is none, or its JSON is wrong.
    """
    for path in (root, root / "0_Transformer"):
        if (path / "config.json").is_file():
            config = read_object(path / "config.json")
            fields = Fields(config, str(path / "config.json"))
            fields.text("model_type", longest=100)
            fields.finish(others=True)
            return ModelFolder(path, root, config)
    raise SourceError(f"{root} has no config.json; expected the folder of a transformers model")


def read_tokenizer(path: Path) -> bytes | None:
    """The bytes of a `tokenizers` JSON file that loads, or None where there is no file.

    Raises:
        SourceError: it is too large, or not a tokenizer.
    """
    import tokenizers

    if path.is_dir():
        path = path / TOKENIZER_FILE
    if not path.is_file():
        return None
    if path.stat().st_size > 16 * JSON_LIMIT:
        raise SourceError(f"{path} has more than {16 * JSON_LIMIT:,} bytes; a tokenizer is smaller")
    data = path.read_bytes()
    try:
        tokenizers.Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises plain exceptions
        reason = str(error).splitlines()[0][:120]
        raise SourceError(f"{path} is not a tokenizer of the tokenizers library ({reason})") from None
    return data
