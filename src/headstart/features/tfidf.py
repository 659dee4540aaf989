"""What a text shows without anything learned before: weighted counts of its words and of its runs of characters.

These columns feed the no-transfer baseline. Words (one and two in a row) carry the topic; character runs within words
carry stems, endings and misspellings. Term frequencies are sublinear, 1 + log tf, and weighted by smoothed inverse
document frequency; each of the two parts of a row has unit length (Salton and Buckley, 1988).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from headstart.errors import ArtefactError, DataError

# The analysers and the most terms each may keep.
_PARTS: dict[str, dict[str, Any]] = {
    "words": {"ngram_range": (1, 2), "token_pattern": r"(?u)\b\w+\b", "max_features": 10_000},
    "characters": {"analyzer": "char_wb", "ngram_range": (3, 5), "max_features": 30_000},
}
# A term seen once helps when there are few texts, and is noise and memory when there are many.
_MANY_TEXTS = 1_000
# Vocabularies are learned from this many texts, evenly spaced, and of each text its beginning counts.
_MOST_TEXTS = 20_000
_MOST_CHARACTERS = 20_000
_HEAVIEST = 100  # a term's weight is 1 plus at most the logarithm of the number of texts


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Terms and their weights, learned from training texts.

    Attributes:
        vectorizers: one scikit-learn TfidfVectorizer a part that has terms, in column order.
    """

    vectorizers: Mapping[str, Any]

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Vocabulary:
        """Learn terms and inverse document frequencies from `texts`.

        Raises:
            DataError: no text has a letter or digit, or any run of three characters.
        """
        step = -(-len(texts) // _MOST_TEXTS)
        shown = [text[:_MOST_CHARACTERS] for text in texts[:: max(step, 1)]]
        learned = {}
        for part in _PARTS:
            vectorizer = _vectorizer(part, min_df=1 if len(shown) < _MANY_TEXTS else 2)
            try:
                vectorizer.fit(shown)
            except ValueError:  # scikit-learn's word for a vocabulary without terms
                continue
            terms = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
            learned[part] = _with_terms(part, terms, vectorizer.idf_)
        if not learned:
            raise DataError(
                f"{len(texts)} texts hold no words; expected texts with letters or digits, check the column"
            )
        return cls(learned)

    @property
    def terms(self) -> tuple[str, ...]:
        """The d terms, in column order, each with its part: "words: lost card"."""
        names = ((part, vectorizer.get_feature_names_out()) for part, vectorizer in self.vectorizers.items())
        return tuple(f"{part}: {term}" for part, terms in names for term in terms)

    def transform(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """(n, d) float32 rows; unknown terms are left out, a text without known terms is a row of zeros."""
        shown = [text[:_MOST_CHARACTERS] for text in texts]
        parts = [vectorizer.transform(shown) for vectorizer in self.vectorizers.values()]
        return sparse.csr_matrix(sparse.hstack(parts, format="csr", dtype=np.float32))

    def state(self) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """Inert data: the weights as arrays, "<part>.idf", and the terms for JSON."""
        arrays = {f"{part}.idf": np.asarray(v.idf_, np.float32) for part, v in self.vectorizers.items()}
        return arrays, {"terms": {part: v.get_feature_names_out().tolist() for part, v in self.vectorizers.items()}}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary of a `state`.

        Raises:
            ArtefactError: terms and weights do not belong together, or a weight cannot be one.
        """
        terms = settings.get("terms")
        if not isinstance(terms, Mapping) or not terms or not set(terms) <= set(_PARTS):
            raise ArtefactError(f"a text vocabulary has no terms of {' or '.join(_PARTS)}; the artefact is damaged")
        restored = {}
        for part in (part for part in _PARTS if part in terms):
            listed, idf = terms[part], arrays.get(f"{part}.idf", np.empty(0))
            if not isinstance(listed, list) or len(set(map(str, listed))) != len(listed) or idf.shape != (len(listed),):
                raise ArtefactError(f"{part}: terms and weights {idf.shape} do not match; the artefact is damaged")
            if idf.dtype.kind != "f" or not ((idf > 0) & (idf < _HEAVIEST)).all():
                raise ArtefactError(f"{part}: not every weight is from 0 to {_HEAVIEST}; the artefact is damaged")
            restored[part] = _with_terms(part, [str(term) for term in listed], idf)
        return cls(restored)


def _vectorizer(part: str, **settings: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **_PARTS[part], **settings)


def _with_terms(part: str, terms: list[str], idf: NDArray[Any]) -> Any:
    """A vectorizer fitted to `terms` in column order, whether just learned or from a file: the two cannot differ."""
    vectorizer = _vectorizer(part, vocabulary={term: column for column, term in enumerate(terms)})
    vectorizer.idf_ = idf.astype(np.float32)
    return vectorizer
