"""The fields of a sample that a recipe names, each with a source of its own: pictures, masks, classes, numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import Tensor

from ganforge import EnvironmentFault, images


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class FieldSource:
    """Where a field's values lie, and what they are.

    Args:
        folder: the folder of its files, below `root`; `{split}` in it stands for train, val or test.
        column: the column of the table that names its file, or holds its value; of numbers, several make a vector.
        kind: `picture`; `mask`, a picture of which all that is brighter than grey counts as 1 (or of 0 and 1); `class`;
            `number`.
        channels, depth, range: of pictures, as elsewhere.
        classes: of a class, their names in the order of their numbers, or how many there are, where files or columns
            hold numbers.
        independent: draw it at random, whatever the other fields are.
    """

    folder: str | None = None
    column: str | tuple[str, ...] | None = None
    kind: Literal["picture", "mask", "class", "number"] = "picture"
    channels: int = 3
    depth: images.Depth = 8
    range: images.Range = None
    classes: tuple[str, ...] | int | None = None
    independent: bool = False

    def __post_init__(self) -> None:
        if (self.folder is None) == (self.column is None):
            raise ValueError("a field has either a `folder` of files or a `column` of the table")
        if self.folder is not None and self.kind in ("class", "number"):
            raise ValueError(f"a {self.kind} is read from a `column` of the table, and not from a folder")
        if (self.kind == "class") != (self.classes is not None):
            raise ValueError("`classes` are those of a field of the kind `class`: their names, or how many there are")
        if self.independent and self.column is not None:
            raise ValueError("`independent` fields have a folder of their own")

    @property
    def is_file(self) -> bool:
        """Whether its values are files."""
        return self.kind in ("picture", "mask")

    @property
    def storage(self) -> images.Storage:
        """How its files are stored."""
        return images.Storage(1) if self.kind == "mask" else images.Storage(self.channels, self.depth, self.range)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is read from."""
        return (self.column,) if isinstance(self.column, str) else self.column or ()

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Its shape in samples of this size."""
        if self.is_file:
            return (self.storage.channels, *size)
        return () if isinstance(self.column, str) else (len(self.columns),)

    def values(self, rows: Sequence[Mapping[str, Any]], name: str) -> Tensor:
        """Its classes, int64 `[N]`, or numbers, float32 `[N]` or `[N, columns]`, of a table's rows.

        Raises:
            EnvironmentFault: some are none; the message says in which rows.
        """
        read = self._class if self.kind == "class" else _finite
        found: list[Any] = []
        wrong: list[str] = []
        for number, row in enumerate(rows, start=1):
            try:
                values = [read(row[column]) for column in self.columns]
            except (TypeError, ValueError, LookupError) as error:
                wrong.append(f"row {number}: {error}")
                continue
            found.append(values[0] if isinstance(self.column, str) else values)
        if wrong:
            shown = "\n".join(f"  {line}" for line in [*wrong[:5], *["..."] * (len(wrong) > 5)])
            message = f"the field '{name}' cannot be read from the column {', '.join(self.columns)}:\n{shown}"
            raise EnvironmentFault(message, f"correct the table, or data.fields.{name}")
        return torch.tensor(found, dtype=torch.int64 if self.kind == "class" else torch.float32)

    def _class(self, value: Any) -> int:
        if isinstance(self.classes, tuple):
            if str(value) not in self.classes:
                raise ValueError(f"'{value}' is none of the classes {', '.join(self.classes)}")
            return self.classes.index(str(value))
        number = int(value)
        if isinstance(value, bool) or number != float(value):
            raise ValueError(f"{value} is no whole number")
        if not 0 <= number < int(self.classes or 0):
            raise ValueError(f"{number} is no class of {self.classes}")
        return number

    @property
    def count(self) -> int:
        """How many classes there are."""
        return len(self.classes) if isinstance(self.classes, tuple) else int(self.classes or 0)


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no number to learn from")
    return number
