"""The weights that training starts from."""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

Initialiser = Literal["xavier", "normal"]
Gain = Annotated[float, Field(gt=0)]


def initialise(network: nn.Module, init: Initialiser, gain: float) -> None:
    """Draw the weights of all convolutions and linear layers anew, and set their biases to 0.

    Args:
        network: changed in place.
        init: `xavier` (Glorot & Bengio 2010) scales by `gain`; `normal` is normal(0, `gain`).
        gain: the scale or the standard deviation, as said.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            match init:
                case "xavier":
                    nn.init.xavier_normal_(module.weight, gain)
                case "normal":
                    nn.init.normal_(module.weight, 0.0, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
