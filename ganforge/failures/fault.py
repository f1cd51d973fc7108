"""What went wrong in a part, as data."""

from __future__ import annotations

from dataclasses import dataclass

from ganforge.errors import Mark


@dataclass(frozen=True)
class Fault:
    """What went wrong in a part. It can be sent from one process to another, as the error itself often cannot."""

    what: tuple[str, ...]
    """What could not be done, the widest first."""
    said: str
    """The error's type and its words."""
    where: str
    """`raised at my_losses.py:12 in charbonnier`: the innermost line of the plugin, and one further in that is no
    library's; the innermost of all where the plugin has none."""
    own: bool
    """Whether `line` is a line of a plugin."""
    part: str
    """The full name of the part, if it is known."""
    home: str
    """The plugin, and where it came from."""
    advice: str
    mark: Mark | None
    report: str
    """The whole traceback."""

    @property
    def headline(self) -> str:
        """What could not be done, and why."""
        return ": ".join([*self.what, self.said])

    @property
    def lines(self) -> list[str]:
        """Where it happened, whose code that is, and what can be done."""
        used = f", used at {self.mark}" if self.mark else ""
        whose = f"{self.part or 'this'} is of {self.home}{used}" if self.home else used.removeprefix(", ")
        excerpt = [f"  {line}" for line in self.mark.excerpt().splitlines()] if self.mark else []
        return [line for line in (self.where, whose, *excerpt, self.advice) if line]


class PartFailed(Exception):
    """A part raised what must not pass as it is, or gave what it must not; `fault` tells it."""

    def __init__(self, message: str, fault: Fault | None = None) -> None:
        super().__init__(message, fault)
        self.message, self.fault = message, fault

    def __str__(self) -> str:
        return self.message
