"""What the faces call: read, embed, race, decide, write, check what was written."""

from __future__ import annotations

from headstart.workflow.options import FitOptions
from headstart.workflow.result import FitResult
from headstart.workflow.run import fit

__all__ = ["FitOptions", "FitResult", "fit"]
