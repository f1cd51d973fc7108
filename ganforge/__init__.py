"""ganforge: a plugin-based GAN framework. These are the public names; everything else may change.

Names that need torch are imported on first use, so that the command line answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganforge._version import __version__
from ganforge.api.hooks import Register, hookimpl
from ganforge.errors import BadFile, EnvironmentFault, GanforgeError, RecipeError, TrainingFailed, UsageError

if TYPE_CHECKING:
    from ganforge.api.callbacks import Callback, Diagnosis, Direction, Run
    from ganforge.api.context import Context, Pixels, Progress, Share
    from ganforge.api.datasets import Dataset, Sample, Samples
    from ganforge.api.importers import Imported, Recognise, Recognised
    from ganforge.api.metrics import Metric
    from ganforge.api.traits import traits
    from ganforge.inference.loading import load

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
    "Pixels",
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

_HOMES = {
    "ganforge.api.callbacks": ("Callback", "Diagnosis", "Direction", "Run"),
    "ganforge.api.context": ("Context", "Pixels", "Progress", "Share"),
    "ganforge.api.datasets": ("Dataset", "Sample", "Samples"),
    "ganforge.api.importers": ("Imported", "Recognise", "Recognised"),
    "ganforge.api.metrics": ("Metric",),
    "ganforge.api.traits": ("traits",),
    "ganforge.inference.loading": ("load",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'ganforge' has no attribute '{name}'")
