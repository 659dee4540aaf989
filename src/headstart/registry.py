"""Plug-ins: what headstart brings and what others bring are found the same way, by entry point.

Groups, and what an entry point of each names (a class without constructor arguments):

    headstart.providers   headstart.sources.base.Provider
    headstart.engines     headstart.engines.base.Engine
    headstart.heads       headstart.heads.base.Head
    headstart.strategies  headstart.adapt.base.Strategy
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from headstart.errors import OptionError


@cache
def _found(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda p: p.name)}


@cache
def _made(group: str, name: str) -> Any:
    return _found(group)[name].load()()


def names(group: str) -> tuple[str, ...]:
    """The registered names of a group, sorted; nothing is imported."""
    return tuple(_found(group))


def get(group: str, name: str) -> Any:
    """The one instance registered as `name`; its module is imported on first use.

    Raises:
        OptionError: no such name; the message suggests the nearest.
    """
    if name not in _found(group):
        from difflib import get_close_matches

        near = get_close_matches(name, names(group), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"{name!r} is not registered under {group} (there are {', '.join(names(group))}){hint}")
    return _made(group, name)


def everything(group: str) -> dict[str, Any]:
    """Every instance of a group, by name."""
    return {name: get(group, name) for name in names(group)}
