"""How a long inspection shows how far it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Hands on a sequence's items, and shows how far it is with what."""

    def __call__(self, items: Sequence[T], what: str, /) -> Iterable[T]: ...


def silently(items: Sequence[T], what: str, /) -> Iterable[T]:
    """A `Track` that shows nothing."""
    return items
