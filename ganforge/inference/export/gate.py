"""The gate: a file must make the same of real pictures as the run that it is from."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ganforge.errors import EnvironmentFault
from ganforge.inference.export.exportable import Exportable
from ganforge.inference.export.formats import Runner
from ganforge.inference.export.pictures import Pictures

TOLERANCE = 1e-4
"""The largest difference allowed, of values in `[-1, 1]`; a grey level of 8 bits is 0.0078."""
BATCHES = (1, 2)


@dataclass(frozen=True)
class Row:
    """One comparison."""

    inputs: str
    """The shapes of the inputs: `1 x 3 x 256 x 256`."""
    difference: float
    """The largest difference between the file's result and eager's."""


@dataclass(frozen=True)
class Comparison:
    """All comparisons of a file with the network that it was made of."""

    rows: list[Row]
    origin: str
    """Where the pictures came from, in words."""

    @property
    def difference(self) -> float:
        return max(row.difference for row in self.rows)

    @property
    def passed(self) -> bool:
        # NaN is no difference, and no parity either.
        return all(row.difference < TOLERANCE for row in self.rows)


def compare(exportable: Exportable, run: Runner, pictures: Pictures | None) -> Comparison:
    """Run a file and eager on the same inputs, at three sizes and two batch sizes.

    Args:
        pictures: none for signals that are made of noise: of these, three batches are compared.
    """
    if pictures is None or exportable.sizes is None:
        return Comparison([_row(exportable, run, torch.zeros(count)) for count in (1, 2, 3)], "random numbers")
    batches = [pictures.batch(count, size) for size in exportable.sizes.three() for count in BATCHES]
    return Comparison([_row(exportable, run, batch) for batch in batches], pictures.origin)


def _row(exportable: Exportable, run: Runner, pictures: torch.Tensor) -> Row:
    expected, inputs = exportable.eager(pictures, seed=0)
    shape = " x ".join(map(str, inputs[0].shape))
    try:
        with torch.no_grad():
            made = run(inputs)
    except Exception as error:  # whatever a runtime raises: each has its own
        reason = str(error).strip().splitlines()[0]
        raise EnvironmentFault(f"the file cannot be run on {shape}: {reason}") from error
    if made.shape != expected.shape:
        return Row(shape, float("inf"))
    return Row(shape, float((made.double() - expected.double()).abs().max()))
