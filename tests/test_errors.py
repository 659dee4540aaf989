"""What is said on one line."""

from __future__ import annotations

import pytest

from headstart.errors import one_line


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ("plain", "plain"),
        ("two\nlines", "two lines"),
        ("  cannot load:\r\n\tsize mismatch  \n\n  for w\n", "cannot load: size mismatch for w"),
        ("a\u2028b\x0bc", "a b c"),
        ("the file two  blanks.csv has\n2 columns", "the file two  blanks.csv has 2 columns"),  # a name stays itself
        ("\n \n", ""),
        (ValueError("of an\nerror"), "of an error"),
    ],
)
def test_line_breaks_become_blanks(told: object, line: str) -> None:
    assert one_line(told) == line
