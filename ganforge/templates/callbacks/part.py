"""Callbacks: they see a run's events."""

import csv
from collections.abc import Mapping
from pathlib import Path

from ganforge import Callback, Run


class Table(Callback):
    """Writes the losses into a file of comma-separated values in the run's folder, a row each time they are read.

    Args:
        file: the file's name.
    """

    def __init__(self, file: str = "losses.csv") -> None:
        self.file = file

    def statistics_read(self, run: Run, scalars: Mapping[str, float]) -> None:
        path = Path(run.folder) / self.file
        losses = {tag: value for tag, value in scalars.items() if tag.startswith("losses/")}
        is_new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as out:
            table = csv.writer(out)
            if is_new:
                table.writerow(["step", *losses])
            table.writerow([run.step, *losses.values()])
