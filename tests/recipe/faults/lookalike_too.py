"""Another plugin with an op of a name that `lookalike` has too."""

from torch import Tensor

from ganforge import Register, hookimpl


def jitter(images: Tensor) -> Tensor:
    """The same name."""
    return images


@hookimpl
def register_ops(register: Register) -> None:
    register("jitter", jitter)
