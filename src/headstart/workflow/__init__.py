"""What the faces call: read, embed, race, decide, write, check what was written."""

from __future__ import annotations

from headstart.workflow.options import FitOptions
from headstart.workflow.run import FitResult, fit

__all__ = ["FitOptions", "FitResult", "fit"]
