"""What a part may ask of the step and of the run that it works in."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema


@dataclass(frozen=True)
class Context:
    """What an op may ask of the step it runs in: annotate a parameter with it, and the engine fills it in."""

    batch_size: int
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class Pixels:
    """What the numbers of a field are that an augmentation is given: annotate a parameter with it, and the engine fills
    it in."""

    smooth: bool
    """Whether numbers in between mean something: those of a picture do, those of a mask or of classes do not, and what
    interpolates must take the nearest."""
    black: float
    """What stands where nothing is: -1 in a picture, 0 in a mask or a map."""


PICTURE, MAP = Pixels(True, -1.0), Pixels(False, 0.0)


@dataclass(frozen=True)
class Progress:
    """How far the run is: what a schedule is a function of. Steps and epochs count from 0."""

    step: int
    steps_per_epoch: int
    total_steps: int
    ahead: int = 0
    """Steps, as they are now, that the way through the data is ahead of the steps taken, or behind: not 0 where a
    resumed run changed how many samples a step has. Epochs go on from where they were."""

    @property
    def epoch(self) -> int:
        """The epoch that this step belongs to."""
        return (self.step + self.ahead) // self.steps_per_epoch

    @property
    def epochs(self) -> float:
        """Epochs done so far, as a fraction."""
        return (self.step + self.ahead) / self.steps_per_epoch

    @property
    def total_epochs(self) -> float:
        """The length of the run in epochs."""
        return (self.total_steps + self.ahead) / self.steps_per_epoch

    def at(self, step: int) -> Progress:
        """The progress of the same run at another step."""
        return replace(self, step=step)


BEGINNING = Progress(0, 1, 1)
"""What schedules in expressions see outside of a training."""

_SHARE = r"(100(\.0+)?|[0-9]{1,2}(\.[0-9]+)?)%"


@dataclass(frozen=True)
class Share:
    """A share of the whole run; a recipe writes `50%`. Annotate an option of a schedule with it.

    Args:
        percent: from 0 to 100.
    """

    percent: float

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:
            raise ValueError(f"a share is from 0% to 100%, not {self}")

    def of(self, whole: float) -> float:
        """This share of a whole: of 200 epochs, `Share(50)` is 100.0."""
        return whole * self.percent / 100

    def __str__(self) -> str:
        return f"{self.percent:g}%"

    @classmethod
    def parse(cls, written: Any) -> Share:
        """`50%` as a share.

        Raises:
            ValueError: it is written otherwise, or is no percentage from 0 to 100.
        """
        if isinstance(written, Share):
            return written
        if isinstance(written, str) and re.fullmatch(_SHARE, written):
            return cls(float(written[:-1]))
        if isinstance(written, int | float) and not isinstance(written, bool):
            percent = written * 100 if written <= 1 else written
            shown = f"{written:g}" + (f": write {percent:g}%" if 0 <= percent <= 100 else "")
        else:
            shown = f"'{written}'"
        raise ValueError(f"should be a share of the run from 0% to 100%, such as 50%, not {shown}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema(when_used="always")
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "pattern": f"^{_SHARE}$"}
