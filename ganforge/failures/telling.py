"""What a user is told of what nobody expected: a plugin's doing, or that the machine has run out of something."""

from __future__ import annotations

from ganforge.errors import EnvironmentFault, GanforgeError, UsageError
from ganforge.failures.blame import fault_of, of_a_part
from ganforge.failures.exhaustion import ELSEWHERE, exhausted

WHOLE = "GANFORGE_DEBUG=1 shows the whole traceback"


def told(error: BaseException) -> GanforgeError | None:
    """The error in words for whoever can do something about it; None where it is neither of both."""
    if isinstance(error, GanforgeError | KeyboardInterrupt):
        return None
    of_part, fault = of_a_part(error), fault_of(error)
    lines = [*fault.lines, WHOLE] if of_part else []
    if isinstance(error, Exception) and (out := exhausted(error, ELSEWHERE)):
        return (UsageError if of_part else EnvironmentFault)(out.message, "\n".join([out.cure, *fault.what, *lines]))
    return UsageError(fault.headline, "\n".join(lines)) if of_part else None
