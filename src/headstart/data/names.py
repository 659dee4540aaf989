r"""What stands in the names of files: a group or a class that a pattern reads off them.

    --group 'speaker=_(\w+)_'      0_george_1.wav is of the group george
    --label 'digit=^(\d+)_'        and of the class 0

The pattern is searched in the name of an item as the data set has it: the path below the folder, or the path as a table
writes it. Its first capturing group counts, or where it has none the whole of what it matches.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headstart.data.groups import MIN_GROUPS
from headstart.data.labels import Labels, labels_from_names, read_labels, some
from headstart.errors import DataError, OptionError
from headstart.tasks import Task

Option = Literal["group", "label"]

# A pattern may take time that grows with a power of the name's length, and (x+)+ doubles it with every character.
MAX_NAME = 500
_REPEATED = re.compile(r"(?<!\\)[+*]\??\)[+*]")
EXAMPLES: dict[Option, str] = {"group": r"--group 'speaker=_(\w+)_'", "label": r"--label 'digit=^(\d+)_'"}


@dataclass(frozen=True)
class NamePart:
    """A part of the names of items, and what it is called: "speaker", the pattern `_(\\w+)_`."""

    option: Option
    name: str
    pattern: re.Pattern[str]

    @property
    def asked(self) -> str:
        """The option, as it was given."""
        return f"--{self.option} '{self.name}={self.pattern.pattern}'"

    def __str__(self) -> str:
        return f"{self.name!r} in the files' names"

    def of(self, names: Sequence[str]) -> list[str]:
        """The n parts of n names, none of them empty.

        Raises:
            DataError: some names have none; the message has the first of these and how many there are.
        """
        found = [self._of(name) for name in names]
        without = [name for name, part in zip(names, found, strict=True) if not part]
        if without:
            length = f" (names longer than {MAX_NAME} characters are not searched)" * (len(without[0]) > MAX_NAME)
            others = f" and {len(without) - 1} more" * (len(without) > 1)
            raise DataError(
                f"{self.asked} finds nothing in {without[0]!r}{others}, of "
                f"{len(names)} names{length}: change the pattern, or take these files away"
            )
        return [part for part in found if part]

    def _of(self, name: str) -> str | None:
        match = self.pattern.search(name) if len(name) <= MAX_NAME else None
        return match[1 if self.pattern.groups else 0] if match else None


def name_part(option: Option, value: str | None, columns: Collection[str] = ()) -> NamePart | None:
    """What NAME=REGEX asks for; None where the value is no such thing, but a column or several, or nothing.

    Args:
        columns: those of the table. A name, or names joined by commas, that all stand there mean the columns, whatever
            their signs.

    Raises:
        OptionError: no name before the "=", no pattern after it, one that is no regular expression, or one that could
            take for ever.
    """
    if value is None or "=" not in value or value in columns or all(one.strip() in columns for one in value.split(",")):
        return None
    name, _, written = value.partition("=")
    if not name.strip() or not written:
        raise OptionError(f"{option} {value!r}: expected a column, or NAME=REGEX, for example {EXAMPLES[option]}")
    try:
        pattern = re.compile(written)
    except (re.error, OverflowError, RecursionError) as wrong:
        raise OptionError(f"{option} {value!r}: {written!r} is no regular expression: {wrong}") from None
    if _REPEATED.search(written):
        raise OptionError(
            f"{option} {value!r}: a repetition is repeated in {written!r}, as in (x+)+, which can take for ever on a "
            f"long name: leave one of the two out"
        )
    return NamePart(option, name.strip(), pattern)


def labels_of(parts: Sequence[str], column: str, task: Task | None, classes: Sequence[str] = ()) -> Labels:
    """The target that n class names say, as they are written; the arguments as for `labels.read_labels`.

    Numbers to be predicted may be padded with zeros, as they are in names of files.
    """
    if task == "regression":
        parts = [re.sub(r"^([+-]?)0+(?=\d)", r"\1", part) for part in parts]
    if task in ("regression", "multilabel"):
        return read_labels(parts, column, task, classes)
    return labels_from_names(parts, column, task, classes)


def groups_of(part: NamePart, parts: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """(n,) int64 codes of the groups that a pattern found in n names, and what is said of them."""
    distinct, codes = np.unique(np.array(parts, dtype=object), return_inverse=True)
    few = ", so few that the estimate is rough" * (len(distinct) < MIN_GROUPS)
    note = f"groups: {part}, {len(distinct)} distinct ({some(list(distinct))}){few}"
    return codes.astype(np.int64), (note,)
