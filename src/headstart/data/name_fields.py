"""Names of files that look as if a part of them named a group: said aloud, with the option that groups by it.

0_george_1.wav, 0_jackson_1.wav, ... are split at "_" into three fields; the second recurs in every class, is neither
the class nor a running number, and so may be a speaker. It may be a make of microphone as well: nothing is grouped.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from headstart.data.column_names import GROUP_BASES, GROUP_WORDS, folded
from headstart.data.groups import MIN_GROUPS, NO_GROUPS
from headstart.data.labels import some
from headstart.tasks import Target

SEPARATORS = ("_", "-", ".", "_.-")  # alone, then all at once
MIN_ITEMS = 3  # of a group, in the mean
TAKES = 0.1  # the share of items with another of the same name, from which on they may be takes of one recording

_SHORT = {
    "spk": "speaker", "spkr": "speaker", "subj": "subject", "sub": "subject", "pat": "patient", "ses": "session",
    "rec": "recording", "p": "person", "s": "subject",
}  # fmt: skip
_OTHER_THINGS = ("fall",)  # a case in German; who falls in English
_RANKED = tuple(word for word in GROUP_WORDS if word not in _OTHER_THINGS)
_ENGLISH = {*GROUP_BASES, *(word for word in _SHORT if len(word) > 1)}
_FOREIGN = set(_RANKED) - _ENGLISH
# Of a foreign word the number comes at once: what begins like one is too often another.
_TELLING = re.compile(
    rf"({'|'.join(sorted(_ENGLISH))})[-_. ]?\w*\d\w*|({'|'.join(sorted(_FOREIGN))})[-_. ]?\d\w*|([ps])\d+"
)
_ORDINALS = ("1st", "2nd", "3rd")


@dataclass(frozen=True)
class Field:
    """One field of n names.

    Attributes:
        place: from 0.
        of: how many fields each name has.
        separators: the characters that part them, each alone enough.
        word: what the names themselves call it ("speaker"), or "".
    """

    place: int
    of: int
    separators: str
    values: tuple[str, ...]
    word: str

    @property
    def pattern(self) -> str:
        r"""A regular expression whose group is the field, in the last part of a path: `[^/_]*_([^/_]*)_[^/]*$`."""
        other = f"[^/{self.separators}]*"
        cut = f"[{self.separators}]" if len(self.separators) > 1 else self.separators.replace(".", r"\.")
        rest = cut + "[^/]*$" if self.place < self.of - 1 else r"\.[^/.]*$"
        return (other + cut) * self.place + f"({other})" + rest

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.values)

    @property
    def numbering(self) -> bool:
        """True for whole numbers from 0 or 1 on without many gaps, and for single letters from A on."""
        distinct = set(self.values)
        if all(len(value) == 1 and value.isalpha() for value in distinct):
            return min(distinct) in "Aa" and ord(max(distinct)) - ord(min(distinct)) < 1.1 * len(distinct)
        if not all(value.isdecimal() and len(value) < 10 for value in distinct):
            return False
        numbers = {int(value) for value in distinct}
        return min(numbers) <= 1 and max(numbers) - min(numbers) < 1.1 * len(numbers)


def guess_note(names: Sequence[str], target: Target) -> tuple[str, ...]:
    """A sentence where a field of n names looks like a group; nothing where none does.

    Args:
        names: paths, as --group NAME=REGEX is searched in them.
    """
    labels = [str(y) for y in target.y.tolist()] if target.exclusive else [""] * len(names)
    field = likely_field(names, labels)
    if field is None:
        return ()
    ordinal = _ORDINALS[field.place] if field.place < len(_ORDINALS) else f"{field.place + 1}th"
    distinct = sorted(field.counts)
    what = f"a {field.word}" if field.word else "a group (a speaker, a patient, a recording)"
    option = f"--group '{field.word or 'name'}={field.pattern}'"
    return (
        f"the files' names look as if their {ordinal} part ({some(distinct, 3)}) named {what}: to keep each on one "
        f"side of a split, {option}; if it is no such thing, --group {NO_GROUPS}",
    )


def likely_field(names: Sequence[str], labels: Sequence[str]) -> Field | None:
    """The field that looks most like a group, or None.

    Fields that say what they are ("spk3", "sub-01") come first, in the order of GROUP_WORDS; then words and codes, then
    numbers without gaps, which may only count something, of the first way of splitting that has any; then takes.
    """
    fields = [field for separators in SEPARATORS for field in _fields(names, separators)]
    groups = [field for field in fields if _is_group(field, labels)]
    groups.sort(
        key=lambda field: (
            _RANKED.index(field.word) if field.word else len(_RANKED),
            SEPARATORS.index(field.separators),
            field.numbering,
        )
    )
    takes = (field for field in fields if _has_takes(field, labels))
    return next((field for field in chain(groups, takes) if _is_read_by_its_pattern(field, names)), None)


def _fields(names: Sequence[str], separators: str) -> Iterator[Field]:
    """The fields of names that all have as many, two at least; of other names none."""
    cut = re.compile(f"[{re.escape(separators)}]")
    rows: list[list[str]] = []
    for name in names:
        rows.append(cut.split(os.path.splitext(name.rpartition("/")[2])[0]))
        if len(rows[-1]) != len(rows[0]) or len(rows[0]) < 2:
            return
    before: tuple[str, ...] = ()
    for place, values in enumerate(zip(*rows, strict=True)):
        yield Field(place, len(rows[0]), separators, values, _word(values, before))
        before = values


def _is_group(field: Field, labels: Sequence[str]) -> bool:
    """True where a field recurs as a group does: neither the class, nor a constant, nor a name of the item alone."""
    counts, n = field.counts, len(field.values)
    pairs = Counter(zip(field.values, labels, strict=True))
    classes = len(set(labels))
    if len(counts) < (2 if field.word else MIN_GROUPS) or "" in counts:
        return False
    if MIN_ITEMS * len(counts) > n or sum(count for count in counts.values() if count > 1) < 0.9 * n:
        return False
    if classes > 1 and len(pairs) == len(counts) and len(counts) < 2 * classes:  # about one value a class: its name
        return False
    return bool(field.word) or not (field.numbering and len(pairs) == n)  # one of each number in a class: a count


def _has_takes(field: Field, labels: Sequence[str]) -> bool:
    """True where a field names most items alone, but some several: two takes of one recording, which are of one class.

    Numbers that are the same by chance would not keep to the classes.
    """
    counts = field.counts
    several = {value for value, count in counts.items() if count > 1}
    items = sum(counts[value] for value in several)
    classes = {(value, label) for value, label in zip(field.values, labels, strict=True) if value in several}
    enough = len(several) >= MIN_GROUPS and items >= TAKES * len(labels) and MIN_ITEMS * len(counts) > len(labels)
    return enough and len(classes) == len(several) and len(set(labels)) > 1 and not field.numbering


def _is_read_by_its_pattern(field: Field, names: Sequence[str]) -> bool:
    """True where the pattern that is offered finds the field in every name."""
    pattern = re.compile(field.pattern)
    found = (pattern.search(name) for name in names)
    return all(match and match[1] == value for match, value in zip(found, field.values, strict=True))


def _word(values: Sequence[str], before: Sequence[str]) -> str:
    """What the names call a field: by its own values ("spk3"), or by a constant before it ("sub", then "01"); or ""."""
    told = [_TELLING.fullmatch(folded(value)) for value in set(values)]
    words = {"" if match is None else match[match.lastindex or 0] for match in told}
    if len(words) > 1 or not any(words):
        constant = {folded(value) for value in before}
        words = constant if len(constant) == 1 and constant <= _ENGLISH | _FOREIGN else {""}
    word = words.pop()
    return _SHORT.get(word, word)
