"""`torch.export`: a program that torch runs without this package, and from which other formats are made."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as shape_settings

from ganforge.errors import UsageError
from ganforge.inference.export.exportable import Exportable
from ganforge.inference.export.formats import Format, Runner
from ganforge.inference.export.sizes import MULTIPLES, Sizes

METADATA = "ganforge.json"
"""The file in a `.pt2` archive that says what it is."""


class TorchProgram(Format):
    """A `.pt2` file."""

    suffix = ".pt2"

    def write(self, exportable: Exportable, path: Path) -> Exportable:
        traced = trace(exportable)
        about = json.dumps(traced.exportable.metadata(), indent=2)
        torch.export.save(traced.program, path, extra_files={METADATA: about})
        return traced.exportable

    def open(self, exportable: Exportable, path: Path) -> Runner:
        module = torch.export.load(path).module()
        return lambda inputs: module(*inputs)


Shapes = tuple[tuple[dict[int, Any], ...]]


@dataclass(frozen=True)
class Traced:
    """A graph as torch's program."""

    program: ExportedProgram
    shapes: Shapes
    """The dimensions that may change, by input and position."""
    exportable: Exportable
    """The signal, with the sizes that the program takes."""


def trace(exportable: Exportable) -> Traced:
    """The program of a graph, for batches and pictures of any size that it takes.

    Raises:
        UsageError: torch cannot trace it.
    """
    reason: Exception | None = None
    for sizes, shapes in _attempts(exportable):
        attempt = dataclasses.replace(exportable, sizes=sizes)
        try:
            # By default torch takes a dimension that is 1 for a case of its own: a program for other sizes would refuse
            # pictures that are one pixel at a bottleneck, as those of the recipe's own size may well be.
            with torch.no_grad(), shape_settings.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
                program = torch.export.export(exportable.graph, tuple(attempt.example()), dynamic_shapes=shapes)
            return Traced(program, shapes, attempt)
        except Exception as error:  # a tracer raises whatever the code that it follows stumbles on
            reason = reason or error
    raise UsageError(_refusal(exportable, reason)) from reason


def _refusal(exportable: Exportable, reason: Exception | None) -> str:
    message = f"torch.export cannot follow {exportable.graph.signal} = {exportable.graph.text}"
    told = str(reason)
    if "specialized it to be a constant" in told and "batch" in told:
        return (
            f"{message}: in one of {', '.join(exportable.graph.networks)}, the batch's size becomes a plain number\n"
            "  ask a tensor for x.shape[0] there, instead of len(x)"
        )
    return f"{message}: {next(iter(told.strip().splitlines()), type(reason).__name__)}"


def _attempts(exportable: Exportable) -> Iterator[tuple[Sizes | None, Shapes]]:
    """All sizes that the graph takes; then fewer, where the tracer cannot prove that these are right."""
    batch = Dim("batch")
    others = [{0: batch} for _ in exportable.drawn]
    sizes = exportable.sizes
    if sizes is None or sizes.multiple is None:
        yield sizes, (tuple([{0: batch} for _ in exportable.graph.fields] + others),)
        return
    for multiple in (each for each in MULTIPLES if each >= (sizes.multiple or 1)):
        for least in dict.fromkeys((sizes.smallest, min(sizes.crop))):
            smallest = -(-least // multiple) * multiple
            height, width = (_side(name, multiple, smallest) for name in ("height", "width"))
            graph, sized = exportable.graph, {0: batch, 2: height, 3: width}
            given = [sized if graph.is_sized(field) else {0: batch} for field in graph.fields]
            yield Sizes(sizes.crop, multiple, smallest), (tuple(given + others),)


def _side(name: str, multiple: int, least: int) -> Any:
    if multiple == 1:
        return Dim(name, min=least)
    return multiple * Dim(f"{name}_{multiple}", min=least // multiple)
