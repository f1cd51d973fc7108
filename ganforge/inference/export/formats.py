"""The kinds of files, and what each needs of this machine."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from ganforge.errors import EnvironmentFault
from ganforge.inference.export.exportable import Exportable

Runner = Callable[[Sequence[Tensor]], Tensor]
"""A file in its runtime: the output for inputs in their order."""


class Format(ABC):
    """A kind of file."""

    suffix: str = ""
    """The suffix of the file; empty for a folder."""
    modules: tuple[str, ...] = ()
    """What must be installed."""

    def check(self, exportable: Exportable) -> None:  # noqa: B027 - most kinds can try every graph
        """Refuse, with a UsageError, what this kind of file cannot hold."""

    @abstractmethod
    def write(self, exportable: Exportable, path: Path) -> Exportable:
        """Write the file, or the folder.

        Returns:
            what was written: it may take fewer sizes than what should have been.

        Raises:
            UsageError: this kind of file cannot hold it after all.
        """

    @abstractmethod
    def open(self, exportable: Exportable, path: Path) -> Runner:
        """Read the file back, as its users do."""


def need(modules: tuple[str, ...]) -> None:
    """See that modules can be imported.

    Raises:
        EnvironmentFault: one cannot.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise EnvironmentFault(f"this needs {name}: pip install 'ganforge[export]'") from error
