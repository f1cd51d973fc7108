"""The best figures of a run, and when they were reached."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ganforge.recipe.model import Recipe


@dataclass(frozen=True)
class Reached:
    """A figure, and the step after which it was measured."""

    step: int
    value: float


class Best:
    """The best of each figure whose metric says which way is better."""

    def __init__(self, recipe: Recipe) -> None:
        self.ways = {metric.name: getattr(metric.use.part.factory, "better", None) for metric in recipe.metrics}
        self.reached: dict[str, Reached] = {}

    def way(self, figure: str) -> str | None:
        """`lower` or `higher`, whichever is better of a figure such as `fid_b` or `kid_b/mean`."""
        metric, _, key = figure.partition("/")
        way = self.ways.get(metric)
        return way.get(key) if isinstance(way, Mapping) else way

    def ways_of(self, figures: Iterable[str]) -> dict[str, str]:
        """Those of these figures of which one way is better, as `run.json` has it for whoever compares runs."""
        return {name: way for name in figures if (way := self.way(name))}

    def note(self, figures: Mapping[str, float], step: int) -> bool:
        """Whether one of these figures is the best so far."""
        improved = {name: value for name, value in figures.items() if self._improves(name, value)}
        self.reached |= {name: Reached(step, value) for name, value in improved.items()}
        return bool(improved)

    def _improves(self, name: str, value: float) -> bool:
        way, before = self.way(name), self.reached.get(name)
        if way is None or not math.isfinite(value):
            return False
        return before is None or (value < before.value if way == "lower" else value > before.value)

    @property
    def steps(self) -> frozenset[int]:
        """The steps whose checkpoints have a best figure."""
        return frozenset(reached.step for reached in self.reached.values())

    def record(self) -> dict[str, Any]:
        """The best figures as `run.json` has them."""
        return {name: asdict(reached) for name, reached in self.reached.items()}

    def restore(self, record: Mapping[str, Any], until: int) -> None:
        """Take up what `record` gave, as far as it was reached until a step."""
        known = {name: Reached(**entry) for name, entry in record.items() if entry["step"] <= until}
        self.reached = {name: reached for name, reached in known.items() if self.way(name)}
