"""The weights that training starts from."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

Initialiser = Literal["normal", "xavier", "kaiming", "orthogonal"]
Gain = Annotated[float, Field(gt=0)]


def initialise(network: nn.Module, init: Initialiser, gain: float) -> None:
    """Draw all weights anew, as the reference does.

    Convolutions get weights by `init` and biases of 0; batch norms get weights from normal(1, `gain`) and biases of 0.

    Args:
        network: changed in place.
        init: `normal` is normal(0, `gain`); `xavier` (Glorot & Bengio 2010) and `orthogonal` (Saxe et al. 2014) scale
            by `gain`; `kaiming` (He et al. 2015, fan in) has no gain.
        gain: the standard deviation or the scale, as said.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            _draw(module.weight, init, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
            nn.init.zeros_(module.bias)


def _draw(weight: Tensor, init: Initialiser, gain: float) -> None:
    match init:
        case "normal":
            nn.init.normal_(weight, 0.0, gain)
        case "xavier":
            nn.init.xavier_normal_(weight, gain)
        case "kaiming":
            nn.init.kaiming_normal_(weight, a=0, mode="fan_in")
        case "orthogonal":
            nn.init.orthogonal_(weight, gain)
