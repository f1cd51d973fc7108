"""ganforge: a plugin-based GAN framework. These are the public names; everything else may change.

Names that need torch are imported on first use, so that the command line answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganforge.errors import BadFile, EnvironmentFault, GanforgeError, RecipeError, TrainingFailed, UsageError
from ganforge.hookspecs import Register, hookimpl

if TYPE_CHECKING:
    from ganforge.engine.run import Run
    from ganforge.engine.translation import load
    from ganforge.parts import (
        Callback,
        Context,
        Dataset,
        Diagnosis,
        Direction,
        Imported,
        Metric,
        Progress,
        Recognise,
        Recognised,
        Sample,
        Samples,
        Share,
        traits,
    )

__version__ = "0.1.0"

__all__ = [
    "BadFile",
    "Callback",
    "Context",
    "Dataset",
    "Diagnosis",
    "Direction",
    "EnvironmentFault",
    "GanforgeError",
    "Imported",
    "Metric",
    "Progress",
    "RecipeError",
    "Recognise",
    "Recognised",
    "Register",
    "Run",
    "Sample",
    "Samples",
    "Share",
    "TrainingFailed",
    "UsageError",
    "__version__",
    "hookimpl",
    "load",
    "traits",
]

_HOMES = {"Run": "ganforge.engine.run", "load": "ganforge.engine.translation"} | dict.fromkeys(
    (
        "Callback",
        "Context",
        "Dataset",
        "Diagnosis",
        "Direction",
        "Imported",
        "Metric",
        "Progress",
        "Recognise",
        "Recognised",
        "Sample",
        "Samples",
        "Share",
        "traits",
    ),
    "ganforge.parts",
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ganforge' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
