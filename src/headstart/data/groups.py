"""Columns that look like groups: what must stay on one side of a split, by the names that people give it.

Grouping what is no group costs a feature and makes the estimate too low; not grouping what is one makes it too high,
and nobody sees it. So a name that says it plainly ("patient", "user_id") is believed even with two groups. A bare word
that may also be a category ("group", "case") is believed from MIN_GROUPS values on; with fewer it is grouped only where
it is of no use as a feature, beside texts and images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.cells import Cell, as_numbers
from headstart.data.column_names import group_rank
from headstart.data.looks import files_of, sample, words

MIN_GROUPS = 5  # a bare word that may be a category must allow five folds
NO_GROUPS = "none"  # what --group is given where no column is to be taken by its name


@dataclass(frozen=True)
class Likely:
    """A column whose name says groups.

    Attributes:
        sure: the name can hardly mean anything else.
        distinct: its values, the missing ones together being one more.
        names_rows: every value stands there once.
    """

    name: str
    sure: bool
    distinct: int
    names_rows: bool

    @property
    def usable(self) -> bool:
        """True where a split can have it on both of its sides."""
        return self.distinct > 1 and not self.names_rows

    @property
    def may_be_category(self) -> bool:
        """True for a bare word with a few values: "group" may be treated or not."""
        return not self.sure and self.usable and self.distinct < MIN_GROUPS


def likely_groups(columns: Mapping[str, Sequence[Cell]], names: Sequence[str]) -> tuple[Likely, ...]:
    """Those of the columns `names` that look like groups, the likeliest first.

    Columns of texts, of paths, of lists and of fractions are not among them, whatever their name.
    """
    ranks = {name: rank for name in reversed(names) if (rank := group_rank(name)) is not None}
    looked = [_looked_at(name, columns[name], sure=not ranks[name][0]) for name in sorted(ranks, key=ranks.__getitem__)]
    return tuple(one for one in looked if one is not None)


@dataclass(frozen=True)
class Groups:
    """What there is to group by.

    Attributes:
        named: the column that was named, or None.
        likely: the other columns that look like groups.
        settled: a column was named, or NO_GROUPS: none is taken by its name.
    """

    named: str | None
    likely: tuple[Likely, ...]
    settled: bool

    @property
    def taken(self) -> Likely | None:
        """The column that is taken by its name, whatever the items are."""
        if self.settled:
            return None
        return next((one for one in self.likely if one.usable and not one.may_be_category), None)

    @property
    def aside(self) -> tuple[str, ...]:
        """The columns that are no features and no labels, as they look like groups."""
        kept = [one for one in self.likely if one.may_be_category or (self._none and one.usable and not one.sure)]
        return tuple(one.name for one in self.likely if one not in kept)

    def settle(self, rest: Sequence[str], features: Sequence[str], label: str) -> tuple[str | None, list[str]]:
        """The column of groups, or None, and what is to be said.

        Args:
            rest: the columns that no other use was found for; beside texts and images.
            features: the columns that are learned from; of a table.
            label: the label column, which may be one that looked like groups.
        """
        others = [one for one in self.likely if one.name != label]
        taken = self.taken if self.taken in others else None
        if taken is None and not self.settled:
            taken = next((one for one in others if one.may_be_category and one.name in rest), None)
        group = self.named if taken is None else taken.name
        notes = [] if taken is None else [group_note(taken)]
        unsaid = [one for one in others if one is not taken and not (self._none and one.name in (*rest, *features))]
        return group, notes + [unused_note(one, group, learned=one.name in features) for one in unsaid]

    @property
    def _none(self) -> bool:
        return self.settled and self.named is None


def group_note(group: Likely) -> str:
    """What is said of the column that was taken."""
    few = f", which are only {group.distinct} groups, so that the estimate is rough" * (group.distinct < MIN_GROUPS)
    return (
        f"groups: column {group.name!r}, by its name; its rows stay on one side of every split{few} "
        f"(--group {NO_GROUPS} if it is no such thing)"
    )


def unused_note(one: Likely, group: str | None, *, learned: bool) -> str:
    """What is said of a column that looks like groups and was not taken.

    Args:
        group: the column that was taken.
        learned: whether it is a feature.
    """
    use = "is learned from as a feature" if learned else "is not learned from"
    if one.names_rows:
        return f"column {one.name!r} looks like groups, but has another value in every row: it {use}"
    if one.distinct < 2:
        return f"column {one.name!r} looks like groups, but has one value in all rows: it {use}"
    if group is not None:
        return (
            f"column {one.name!r} looks like groups too: it {use}; name it with --group to keep its rows together "
            f"instead of those of {group!r}"
        )
    why = f" but has {one.distinct} values only:" if learned else ""
    return (
        f"column {one.name!r} looks like groups,{why or ' and is not used as such:'} it {use}; name it with --group "
        f"if its rows must stay on one side of every split"
    )


def _looked_at(name: str, cells: Sequence[Cell], *, sure: bool) -> Likely | None:
    """The column as groups; None where its cells say that it is something else, or nothing."""
    seen = sample(cells)
    there = [cell for cell in cells if cell is not None]
    if not there or any(isinstance(cell, list) for cell in there) or files_of(seen) is not None:
        return None
    values = len({str(cell) for cell in there})
    if words(cells) >= 3 and 2 * values > len(there):  # "John A. Smith" recurs, the description of a case does not
        return None
    numbers = as_numbers(seen)
    if (np.isfinite(numbers) & (numbers != np.trunc(numbers))).any():
        return None
    return Likely(name, sure, values + (len(there) < len(cells)), values == len(there) and values > 1)
