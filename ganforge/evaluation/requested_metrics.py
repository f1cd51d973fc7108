"""Metrics that are asked for by name: entries of a recipe that does not have them, for every direction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganforge.api.callbacks import Direction
from ganforge.errors import UsageError
from ganforge.plugins.registry import Part, Registry
from ganforge.recipe import open_recipe
from ganforge.rehearsal.directions import directions
from ganforge.rehearsal.known_plans import planned
from ganforge.step.cast import prepare


@dataclass(frozen=True)
class Asked:
    """Metrics that are asked for by name, for every direction."""

    metrics: Sequence[str] = ()
    features: str = "inception"
    """The op that makes features of pictures."""


class Wanted:
    """A run's recipe, and the overrides that add the metrics to it."""

    def __init__(self, folder: Path, overrides: Sequence[str], registry: Registry, asked: Asked) -> None:
        self.parts = [registry.find("metrics", name) for name in asked.metrics]
        self.features = registry.find("ops", asked.features) if any(map(_compares_features, self.parts)) else None
        self.overrides = overrides
        # An op of that name that the recipe has keeps its options.
        self.ops = [f"ops.{self.features.name}.type={self.features.full_name}"] if self.features else []
        # Options of metrics that are yet to be added would be options of nothing.
        self.others = [text for text in overrides if not text.startswith("metrics.")]
        self.recipe = open_recipe(str(folder), [*self.ops, *self.others], registry)

    def prepare(self) -> None:
        """Tell at once what is missing, as far as that is known already.

        Raises:
            EnvironmentFault: packages or weights are missing.
        """
        prepare(self.recipe)
        for part in self.parts:
            if hasattr(part.factory, "prepare") and len(self.others) == len(self.overrides):
                part.factory().prepare()

    def entries(self) -> Iterator[str]:
        """Overrides that add the metrics, for every direction.

        Raises:
            UsageError: a metric does not fit the recipe.
        """
        recipe = self.recipe
        found = directions(recipe, planned(recipe).shapes) if self.parts else ()
        if self.parts and not found:
            raise UsageError(
                f"{recipe.name} has no signal that a discriminator judges: what to compare is not known",
                "write the metrics into the recipe, or as overrides: metrics.fid='{type: fid, real: ..., fake: ...}'",
            )
        yield from self.ops
        for part in self.parts:
            for direction in found:
                inputs = ", ".join(f"{key}: {text}" for key, text in self._inputs(part, direction).items())
                yield f"metrics.{part.name}_{direction.name}={{type: {part.full_name}, {inputs}}}"
        yield from self.overrides  # these may add options

    def _inputs(self, part: Part, direction: Direction) -> dict[str, str]:
        """What a metric compares: by the names of its inputs."""
        if self.features and _compares_features(part):
            real, fake = (f"{self.features.name}({name})" for name in (direction.target, direction.translated))
            return {"real": real, "fake": fake}
        truth = self.recipe.dataset.truths().get(direction.source or "")
        paired = {"input": direction.translated, "target": truth}
        compared = {"translated": direction.translated, "original": direction.source, "truth": truth}
        fitting = next((each for each in (paired, compared) if _roles(part) == each.keys()), None)
        if fitting is None:
            raise UsageError(
                f"'{part.name}' has the inputs {', '.join(sorted(_roles(part)))}: what they should be is not known",
                f"write it into the recipe, or as an override: metrics.{part.name}='{{type: {part.full_name}, ...}}'",
            )
        if truth is None:
            raise UsageError(
                f"'{part.name}' compares with the truth, which the data of {self.recipe.name} do not have",
                "ask for what compares many pictures: fid, kid, precision_recall",
            )
        return {name: text for name, text in fitting.items() if text}


def _roles(part: Part) -> set[str]:
    return {parameter.name for parameter in part.signature.inputs}


def _compares_features(part: Part) -> bool:
    return _roles(part) == {"real", "fake"}
