"""How engines fail: every runtime's own exceptions become one-line EngineErrors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from headstart.errors import EngineError, one_line

_LONGEST = 200
EXPORT_AGAIN = "; it may be damaged: export it again"


def cannot_open(engine: str, graph: Path, error: Exception) -> EngineError:
    """The error for a graph that `engine` does not load."""
    if not graph.is_file():
        return EngineError(f"{engine} cannot open {graph}: there is no such file; export the source again")
    if isinstance(error, ModuleNotFoundError):
        return EngineError(f"{engine} cannot open {graph}: {error}; pip install headstart installs what is missing")
    reason = _short(error, str(error).replace(str(graph), graph.name))
    return EngineError(f"{engine} cannot open {graph}: {reason}{EXPORT_AGAIN}")


def cannot_run(engine: str, error: Exception) -> EngineError:
    """The error for a call that failed: wrong input names, types or shapes, or no memory."""
    return EngineError(f"{engine} could not run the graph on this batch: {_short(error, str(error))}")


def check_outputs(engine: str, graph: Path, asked: Sequence[str], there: Iterable[str]) -> None:
    """Refuse outputs that the graph does not have.

    Raises:
        EngineError: names the first unknown output and the nearest that exists.
    """
    known = list(there)
    for name in asked:
        if name not in known:
            near = get_close_matches(name, known, n=1) or known[:1]
            hint = f"; it has {len(known)}, {near[0]!r} among them" if near else ""
            raise EngineError(f"{engine}: {graph.name} has no output {name!r}{hint}")


def _short(error: Exception, told: str) -> str:
    text = one_line(told) or type(error).__name__
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
