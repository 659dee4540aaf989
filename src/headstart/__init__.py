"""headstart: transfer learning that proves it paid.

import headstart as hs

model = hs.fit("birds/")            # a folder of class folders, a table file, or a DataFrame
model.predict(["new.jpg"])          # label, probability
model.evidence                      # every candidate on the same folds, with intervals and a verdict
model.save("birds.headstart")
hs.load("birds.headstart")
hs.curve("birds/")                  # accuracy against labels, with and without transfer
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.errors import HeadstartError
    from headstart.estimators import HeadstartClassifier, HeadstartRegressor
    from headstart.interface import curve, fit
    from headstart.model.model import Model
    from headstart.workflow.saved import load

__version__ = "0.1.0"
__all__ = ["HeadstartClassifier", "HeadstartError", "HeadstartRegressor", "Model", "curve", "fit", "load"]

_HOMES = {
    "HeadstartClassifier": "headstart.estimators",
    "HeadstartError": "headstart.errors",
    "HeadstartRegressor": "headstart.estimators",
    "Model": "headstart.model.model",
    "curve": "headstart.interface",
    "fit": "headstart.interface",
    "load": "headstart.workflow.saved",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import headstart` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
