"""The panels of a run as files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from torch import Tensor

from ganforge import Callback, EnvironmentFault, Run
from ganforge.images import write_image


class Panels(Callback):
    """Writes each panel as `images/a2b/step_0001000.png` in the run's folder; a file appears whole or not at all.

    Where the disk is full, a warning says so and the training goes on.
    """

    def __init__(self) -> None:
        self._warned = False

    def images_drawn(self, run: Run, panels: Mapping[str, Tensor]) -> None:
        try:
            for name, panel in panels.items():
                folder = run.folder / "images" / name
                folder.mkdir(parents=True, exist_ok=True)
                write_image(folder / f"step_{run.step:07d}.png", panel)
        except (OSError, EnvironmentFault) as error:
            if not self._warned:
                warnings.warn(f"panels are lost from step {run.step} on, the training goes on: {error}", stacklevel=2)
            self._warned = True
