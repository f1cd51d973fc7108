"""What an importer makes of published weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Recognised:
    """The network that published weights belong to."""

    use: Mapping[str, Any]
    """What a recipe says of it: its `type`, and its options."""
    weights: Mapping[str, Tensor]
    """The tensors, by the network's own names."""


class Recognise(Protocol):
    """The function by which an importer asks what network a file holds."""

    def __call__(self, key: str, *types: str) -> Recognised:
        """The first of these networks, named as in recipes, whose `recognise` knows the weights under this key.

        Raises:
            UsageError: none does.
        """


@dataclass(frozen=True)
class Imported:
    """What an importer makes of published weights: a recipe, and the networks that it starts with."""

    recipe: str
    """The name of a recipe, best the full one: `blurring.pairs`."""
    networks: Mapping[str, Recognised]
    """Networks by their names in the recipe, which takes over their types and options; the others start fresh."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else is set in the recipe, by dotted name as on the command line; None removes a key."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """The keys of weights that the recipe has no use for, with the reason."""
