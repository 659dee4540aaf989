"""Tokens and batches against the tokenizers library itself and against padding to the longest with a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from headstart.errors import SourceError
from headstart.features import texts
from headstart.features.texts import batches, feeds, load_tokenizer, padded_lengths, tokenise
from headstart.sources.base import TextInput

HOW = TextInput(max_tokens=60, pad_id=0)
WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{i}" for i in range(50))]


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    # As published tokenizers often are: padding and truncation switched on in the file.
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(10)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def sentence(rng: np.random.Generator, words: int) -> str:
    return " ".join(f"w{i}" for i in rng.integers(0, 50, words))


def test_tokenise_cuts_and_never_pads(tokenizer_file: Path) -> None:
    tokenizer = load_tokenizer(tokenizer_file, HOW)
    short, long = tokenise(["w0 w1 nonsense", " ".join(["w2"] * 500)], tokenizer, HOW)
    assert list(short) == [1, 4, 5, 3, 2]
    assert len(long) == 60
    assert list(long[[0, 1, -1]]) == [1, 6, 2]


def test_prefix_is_put_before_each_text(tokenizer_file: Path) -> None:
    how = TextInput(max_tokens=60, prefix="w9 ")
    (ids,) = tokenise(["w0"], load_tokenizer(tokenizer_file, how), how)
    assert list(ids) == [1, 13, 4, 2]


def test_what_cannot_be_read_has_a_reason(tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = load_tokenizer(tokenizer_file, HOW)
    empty, blank, surrogate, good = tokenise(["", " \n", "w0 \ud800", "w0"], tokenizer, HOW)
    assert empty == blank == "the text is empty; expected words"
    assert "not valid Unicode at character 3" in str(surrogate)
    assert list(good) == [1, 4, 2]
    monkeypatch.setattr(texts, "MAX_CHARACTERS", 5)
    assert [len(ids) for ids in tokenise(["w0 w1 w2 w3"], tokenizer, HOW)] == [4]


def _sentencepiece_map(instead: str) -> normalizers.Normalizer:
    """A map of "a" to something else: a Darts double array of one key, and the text that its leaf points to."""
    units = [0] * 512
    units[0] = 256 << 10  # the root's children are at 256 ^ byte
    units[256 ^ ord("a")] = ord("a") | 1 << 8 | 1 << 10  # has a leaf, one further
    units[256 ^ ord("a") ^ 1] = 1 << 31  # the leaf: the text at 0
    trie = np.array(units, "<u4").tobytes()
    made = normalizers.Precompiled(len(trie).to_bytes(4, "little") + trie + instead.encode() + b"\0")
    assert made.normalize_str("xax") == f"x{instead}x"
    return made


@pytest.mark.parametrize(
    "hostile",
    [
        [normalizers.Replace("a", "a" * 1000)],
        [normalizers.Replace("a", "aa")] * 20,
        [normalizers.Sequence([normalizers.Replace("a", "aaaa")] * 2)] * 2,
        [normalizers.Prepend("a" * 100)],
        [_sentencepiece_map("b" * 1000)],
    ],
    ids=["long", "often", "nested", "before", "map"],
)
def test_a_tokenizer_that_multiplies_its_text_is_refused(
    tokenizer_file: Path, tmp_path: Path, hostile: list[normalizers.Normalizer]
) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), *hostile])
    tokenizer.save(str(tmp_path / "hostile.json"))
    with pytest.raises(SourceError, match="times as long"):
        load_tokenizer(tmp_path / "hostile.json", HOW)


def test_usual_normalizers_are_taken(tokenizer_file: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    usual = [
        _sentencepiece_map("\u0635" * 18),
        normalizers.BertNormalizer(),
        normalizers.Prepend("\u2581"),
        normalizers.Replace(" ", "\u2581"),
    ]
    tokenizer.normalizer = normalizers.Sequence([*usual, normalizers.Replace("``", '"')])
    tokenizer.save(str(tmp_path / "usual.json"))
    load_tokenizer(tmp_path / "usual.json", HOW)


def test_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(SourceError, match="is not a tokenizer"):
        load_tokenizer(tmp_path / "tokenizer.json", HOW)


@pytest.mark.parametrize(
    ("length", "padded"), [(1, 1), (31, 31), (32, 32), (33, 40), (40, 40), (41, 48), (56, 56), (57, 60), (60, 60)]
)
def test_padded_length(length: int, padded: int) -> None:
    assert padded_lengths(np.array([length]), HOW) == [padded]


def test_batches_hold_every_text_once_within_bounds() -> None:
    rng = np.random.default_rng(0)
    how = TextInput(max_tokens=500)
    lengths = rng.integers(1, 501, 3000)
    found = batches(lengths, how)
    assert sorted(np.concatenate(found)) == list(range(3000))
    for batch in found:
        widths = set(padded_lengths(lengths[batch], how))
        assert len(widths) == 1
        assert len(batch) <= texts.MAX_TEXTS
        assert len(batch) * widths.pop() <= texts.MAX_TOKENS
    widths = [padded_lengths(lengths[batch], how)[0] for batch in found]
    assert widths == sorted(widths, reverse=True)
    assert batches(np.zeros(0, np.int64), how) == []


def test_feeds_mask_only_the_padding() -> None:
    rows = [np.arange(1, 34, dtype=np.int32), np.arange(1, 41, dtype=np.int32)]
    got = feeds(rows, TextInput(max_tokens=60, pad_id=9))
    assert got["input_ids"].dtype == got["attention_mask"].dtype == np.int64
    assert got["input_ids"].shape == (2, 40)
    np.testing.assert_array_equal(got["input_ids"][0], [*range(1, 34), *[9] * 7])
    np.testing.assert_array_equal(got["attention_mask"].sum(1), [33, 40])
    np.testing.assert_array_equal(got["attention_mask"][0], [1] * 33 + [0] * 7)


def test_rows_match_a_padded_and_masked_transformer(tokenizer_file: Path) -> None:
    """A small BERT: a text's mean token in our batches is the one of all texts padded to the longest, with a mask."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    model = transformers.BertModel(config).eval()

    def mean_tokens(inputs: dict[str, np.ndarray]) -> np.ndarray:
        given = {name: torch.from_numpy(value) for name, value in inputs.items()}
        with torch.no_grad():
            tokens = model(**given).last_hidden_state
        mask = given["attention_mask"][..., None]
        return ((tokens * mask).sum(1) / mask.sum(1)).numpy()

    rng = np.random.default_rng(0)
    written = [sentence(rng, n) for n in rng.integers(1, 70, 40)]
    ids = tokenise(written, load_tokenizer(tokenizer_file, HOW), HOW)
    got = np.zeros((40, 16), np.float32)
    for batch in batches(np.array([len(one) for one in ids]), HOW):
        got[batch] = mean_tokens(feeds([ids[i] for i in batch], HOW))
    longest = max(len(one) for one in ids)
    tokens = np.stack([np.pad(one.astype(np.int64), (0, longest - len(one))) for one in ids])
    mask = np.stack([np.arange(longest) < len(one) for one in ids]).astype(np.int64)
    np.testing.assert_allclose(got, mean_tokens({"input_ids": tokens, "attention_mask": mask}), atol=1e-5)
