"""A part of a run's length, written as a percentage: what stretches with the run when that is made longer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

PATTERN = r"(100(\.0+)?|[0-9]{1,2}(\.[0-9]+)?)%"


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
        if isinstance(written, str) and re.fullmatch(PATTERN, written):
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
        return {"type": "string", "pattern": f"^{PATTERN}$"}
