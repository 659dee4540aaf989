import json

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from headstart.errors import ArtefactError, DataError
from headstart.features.tfidf import Vocabulary

TEXTS = [
    "My card has not arrived yet",
    "I lost my card, what now?",
    "Where is my card? card card",
    "Ünïcode: où est ma carte",
    "exchange rate 12.5 is wrong",
]


def test_words_equal_scikit_learn():
    vocabulary = Vocabulary.fit(TEXTS)
    reference = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True).fit(TEXTS)
    ours = vocabulary.transform(["my lost card card"])
    words = [i for i, term in enumerate(vocabulary.terms) if term.startswith("words: ")]
    np.testing.assert_allclose(
        ours[:, words].toarray(), reference.transform(["my lost card card"]).toarray(), rtol=1e-5, atol=1e-7
    )


def test_one_row_by_hand():
    """Two texts, one word apart: idf is ln((1 + 2) / (1 + df)) + 1, the row has unit length."""
    vocabulary = Vocabulary.fit(["aa", "aa bb"])
    row = dict(zip(vocabulary.terms, vocabulary.transform(["aa bb"]).toarray()[0], strict=True))
    rare = np.log(3 / 2) + 1
    length = np.sqrt(1 + 2 * rare**2)
    assert row["words: aa"] == pytest.approx(1 / length, rel=1e-5)
    assert row["words: aa bb"] == pytest.approx(rare / length, rel=1e-5)


def test_rows_are_csr_float32_and_never_dense():
    matrix = Vocabulary.fit(TEXTS).transform(TEXTS)
    assert sparse.issparse(matrix)
    assert matrix.format == "csr"
    assert matrix.dtype == np.float32
    assert matrix.shape == (5, len(Vocabulary.fit(TEXTS).terms))


def test_restored_from_json_gives_the_same_rows():
    vocabulary = Vocabulary.fit(TEXTS)
    arrays, settings = vocabulary.state()
    again = Vocabulary.restore(arrays, json.loads(json.dumps(settings)))
    unseen = [*TEXTS, "", "a lost carte arrives!"]
    assert (vocabulary.transform(unseen) != again.transform(unseen)).nnz == 0
    assert again.terms == vocabulary.terms


def test_texts_without_words_still_have_characters_or_are_refused():
    matrix = Vocabulary.fit(["!!!", "???", "!?!"]).transform(["!!!", "..."])
    assert matrix[0].nnz > 0
    assert matrix[1].nnz == 0
    with pytest.raises(DataError, match="3 texts hold no words"):
        Vocabulary.fit(["", " ", ""])


def test_many_texts_bound_the_vocabulary():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in rng.integers(0, 30_000, 20)) for _ in range(2_500)]
    assert len(Vocabulary.fit(texts).terms) <= 40_000


def test_a_damaged_state_is_refused():
    arrays, settings = Vocabulary.fit(TEXTS).state()
    with pytest.raises(ArtefactError, match="do not match"):
        Vocabulary.restore({**arrays, "words.idf": arrays["words.idf"][:-1]}, settings)
    with pytest.raises(ArtefactError, match="has no terms"):
        Vocabulary.restore(arrays, {"terms": {"pickles": []}})
    for odd in (np.nan, np.inf, 3e38, -1.0):
        weights = arrays["characters.idf"].copy()
        weights[3] = odd
        with pytest.raises(ArtefactError, match="characters: not every weight is from 0 to 100"):
            Vocabulary.restore({**arrays, "characters.idf": weights}, settings)
