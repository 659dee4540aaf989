"""What the faces call: read, embed, race, decide, write, check what was written."""

from __future__ import annotations

from headstart.workflow.curve_options import CurveOptions
from headstart.workflow.learning_curve import curve
from headstart.workflow.options import FitOptions
from headstart.workflow.result import FitResult
from headstart.workflow.run import fit

__all__ = ["CurveOptions", "FitOptions", "FitResult", "curve", "fit"]
