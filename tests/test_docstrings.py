"""What is read from docstrings: the text without its sections, and a line for each parameter."""

from __future__ import annotations

from ganforge.docstrings import arguments, prose
from ganforge.plugins.loading import load_plugins
from ganforge.plugins.registry import Part

OURS = """Keeps what it was given.

As in a paper (https://example.org): `[N, C]` in, the same out.
Fields: `a`, `b`.

Args:
    size: how many, of which the last is
        the newest: always.
    chance: 0 to 1 (both included).

Returns:
    size: nothing of this.
"""

TORCH = """Implements Adam algorithm.

.. math::
   \\theta

       x

For details see `Adam: A Method`_ and :math:`x`.

Args:
    params (iterable): of parameters
    lr (float, Tensor, optional): learning rate (default: 1e-3). A tensor is
        supported.
    betas (Tuple[float, float], optional):
        coefficients (default: (0.9, 0.999))

.. note:: Fused is faster,
          mostly.
.. _Adam\\: A Method:
    https://example.org
"""


def test_our_own_style() -> None:
    assert prose(OURS) == (
        "Keeps what it was given.\n\nAs in a paper (https://example.org): `[N, C]` in, the same out.\nFields: `a`, `b`."
    )
    assert arguments(OURS) == {
        "size": "how many, of which the last is the newest: always.",
        "chance": "0 to 1 (both included).",
    }


def test_torchs_style() -> None:
    assert prose(TORCH) == "Implements Adam algorithm.\n\nFor details see `Adam: A Method` and `x`."
    assert arguments(TORCH) == {
        "params": "of parameters",
        "lr": "learning rate. A tensor is supported.",
        "betas": "coefficients",
    }


def test_nothing_is_nothing() -> None:
    assert (prose(""), arguments("")) == ("", {})
    assert arguments("Args:\n") == {}


def test_a_parts_methods_explain_their_parameters_too() -> None:
    class Base:
        """Not its own words."""

    class Loss(Base):
        def __init__(self, margin: float = 1.0) -> None:
            """Starts.

            Args:
                margin: how far apart.
            """

        def forward(self, input: float) -> None:
            """Compares.

            Args:
                input: of the network.
            """

    part = Part("losses", "loss", "mine", Loss)
    assert part.explanations == {"margin": "how far apart.", "input": "of the network."}
    assert part.doc == ""


def test_every_option_of_torchs_optimizers_that_torch_explains_is_explained() -> None:
    for part in load_plugins().registry.of("optimizers"):
        if part.plugin == "ganforge":
            missing = {option.name for option in part.signature.options} - set(part.explanations)
            assert missing <= {"centered"}  # torch has it in its formula alone
            assert not [text for text in part.explanations.values() if "default:" in text]
